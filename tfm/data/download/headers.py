"""What one file of a download says it is, and whether it is all there: from its header, without pixels.

Which files there are is the download's matter; which lesion they belong to, the catalog's.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tfm.core.file_walk import FoundFile

PHANTOM_MAKER = "TFM phantom"  # in the header of every drawn image, so that none is ever taken for a patient's

_HEAD = 4096  # bytes: CBIS-DDSM's headers take less than 2000
_TAG = {
    "sop_uid": Tag(0x0008_0018),
    "maker": Tag(0x0008_0070),
    "subject": Tag(0x0010_0020),
    "series_uid": Tag(0x0020_000E),
    "view": Tag(0x0020_0020),  # PatientOrientation: TCIA wrote the view there
    "side": Tag(0x0020_0060),  # Laterality
    "samples": Tag(0x0028_0002),
    "frames": Tag(0x0028_0008),
    "rows": Tag(0x0028_0010),
    "columns": Tag(0x0028_0011),
    "bits": Tag(0x0028_0100),
}
_NUMBERS = ("samples", "rows", "columns", "bits")
_SUBJECT = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO)(?:_\d+)?")
_TAIL = re.compile(r"-(\d{5})$")  # of NBIA's folder names: the last digits of the series UID


@dataclass(frozen=True, slots=True)
class Header:
    """Of an unreadable file only `path` and `size` are known."""

    path: str
    size: int  # bytes on disk
    fault: str = ""  # "unreadable" | "truncated" | "colour" | "frames" | ""
    sop_uid: str = ""
    series_uid: str = ""
    subject: str = ""  # the header's PatientID: at TCIA the name of one view or one lesion
    view: str = ""
    side: str = ""  # "L", "R"
    rows: int = 0
    columns: int = 0
    bits: int = 0  # allocated for a pixel; 0 where nobody says
    maker: str = ""

    @property
    def is_synthetic(self) -> bool:
        return self.maker == PHANTOM_MAKER

    @property
    def tcia_subject(self) -> str:
        """TCIA's name of the view or lesion: the header's, else that of a folder above."""
        if self.subject:
            return self.subject
        found = _SUBJECT.findall(self.path)
        return found[-1] if found else ""

    @property
    def series_tail(self) -> str:
        """The last five digits of the series UID, as the folder says: they survive where the UIDs were made anew."""
        found = _TAIL.search(Path(self.path).parent.name)
        return found[1] if found else ""


def is_jpeg(path: str) -> bool:
    return path.lower().endswith((".jpg", ".jpeg"))


def read_header(met: FoundFile) -> Header:
    """Of a DICOM file."""
    try:
        with open(met.path, "rb", buffering=0) as file:
            head = file.read(_HEAD)
            return _parse_first_block(met, head) or _parse(met, file)
    except Exception:  # pydicom raises whatever it likes about broken files
        return Header(path=met.path, size=met.size, fault="unreadable")


def _parse_first_block(met: FoundFile, head: bytes) -> Header | None:
    """None where the header does not end in the first block, or that block alone cannot be read."""
    try:
        buffer = io.BytesIO(head)
        found = _parse(met, buffer)
    except Exception:
        if met.size <= len(head):
            raise
        return None
    return found if met.size <= len(head) or buffer.tell() < len(head) else None


def _parse(met: FoundFile, file: Any) -> Header:
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are for the catalog to tell, file by file
        found = pydicom.dcmread(file, stop_before_pixels=True)
        facts = {name: _read_value(found, name) for name in _TAG}
        samples, frames = facts.pop("samples") or 1, int(facts.pop("frames") or 1)
        if not (facts["sop_uid"] and facts["rows"] and facts["columns"] and facts["bits"]):
            return Header(path=met.path, size=met.size, fault="unreadable")
        pixels = facts["rows"] * facts["columns"] * samples * frames * facts["bits"] // 8
        cut = _is_cut(found.file_meta.TransferSyntaxUID, pixels, met.size - file.tell())
        fault = "truncated" if cut else "colour" if samples > 1 else "frames" if frames > 1 else ""
        return Header(path=met.path, size=met.size, fault=fault, **facts)


def _read_value(found: pydicom.Dataset, name: str) -> Any:
    """The element as it stands in the file: pydicom's own conversion takes longer than reading the whole header."""
    raw = found.get_item(_TAG[name])
    value, is_little = (raw.value or b"", raw.is_little_endian) if isinstance(raw, RawDataElement) else (b"", True)
    if name in _NUMBERS:
        return int.from_bytes(value[:2], "little" if is_little else "big")
    return value.decode("utf-8", "replace").rstrip("\0 ")


def _is_cut(syntax: Any, pixels: int, left: int) -> bool:
    """Whether fewer bytes are left in the file than its pixels take; what is compressed tells only when decoded."""
    if syntax.is_deflated:  # unpacked whole by now, which fails where it is cut
        return False
    if syntax.is_compressed:
        return left <= 0
    tag_and_length = 8 if syntax.is_implicit_VR else 12
    return left < tag_and_length + pixels
