"""Read the header of one image file: identity, size, and whether the file is complete. Pixels are not read.
Files are found in folders, and assigned to lesions in catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tfm.core.file_walk import FoundFile
from tfm.data.patient_id import normalise_subject
from tfm.imaging.dicom_header import count_remaining_bytes, is_at_pixels, open_dicom, read_dicom_header

PHANTOM_MAKER = "TFM phantom"  # in the header of every synthetic image

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
    """Facts about an image file. Of an unreadable or damaged file only `path` and `size` are known."""

    path: str
    size: int  # bytes on disk
    fault: str = ""  # "unreadable" (by the disk) | "damaged" | "truncated" | "colour" | "frames" | ""
    sop_uid: str = ""
    series_uid: str = ""
    subject: str = ""  # PatientID of the header: at TCIA it names one view or one lesion
    view: str = ""
    side: str = ""  # "L", "R"
    rows: int = 0
    columns: int = 0
    bits: int = 0  # allocated per pixel; 0 if unknown
    maker: str = ""

    @classmethod
    def of_broken_file(cls, file: FoundFile, error: Exception) -> Header:
        """Another try may read a file that the disk refused. The content of a damaged one stays what it is."""
        is_refused_by_disk = isinstance(error, OSError) and error.errno is not None
        return cls(path=file.path, size=file.size, fault="unreadable" if is_refused_by_disk else "damaged")

    @property
    def is_readable(self) -> bool:
        return self.fault not in ("unreadable", "damaged")

    @property
    def is_synthetic(self) -> bool:
        return self.maker == PHANTOM_MAKER

    @property
    def tcia_subject(self) -> str:
        """TCIA's name of the view or lesion, from the header or else from a folder name."""
        found = [self.subject] if self.subject else _SUBJECT.findall(self.path)
        return normalise_subject(found[-1]) if found else ""

    @property
    def series_tail(self) -> str:
        """Last five digits of the series UID in the folder name, which stay the same if UIDs are regenerated."""
        found = _TAIL.search(Path(self.path).parent.name)
        return found[1] if found else ""


def is_jpeg(path: str) -> bool:
    return path.lower().endswith((".jpg", ".jpeg"))


def read_header(file: FoundFile) -> Header:
    """Read the header of a DICOM file."""
    try:
        with open(file.path, "rb", buffering=0) as stream:
            return _parse(file, open_dicom(stream))
    except Exception as error:  # pydicom raises many kinds of errors for broken files
        return Header.of_broken_file(file, error)


def _parse(file: FoundFile, opened: BinaryIO) -> Header:
    dataset = read_dicom_header(opened)
    facts = {name: _read_value(dataset, name) for name in _TAG}
    samples, frames = facts.pop("samples") or 1, int(facts.pop("frames") or 1)
    if not (facts["sop_uid"] and facts["rows"] and facts["columns"] and facts["bits"]):
        return Header(path=file.path, size=file.size, fault="damaged")
    pixels = facts["rows"] * facts["columns"] * samples * frames * facts["bits"] // 8
    truncated = _is_truncated(dataset.file_meta.TransferSyntaxUID, pixels, count_remaining_bytes(opened))
    is_cut = truncated or not is_at_pixels(opened, dataset)
    fault = "truncated" if is_cut else "colour" if samples > 1 else "frames" if frames > 1 else ""
    return Header(path=file.path, size=file.size, fault=fault, **facts)


def _read_value(dataset: pydicom.Dataset, name: str) -> Any:
    """Decode the raw element: pydicom's own conversion takes longer than reading the whole header."""
    raw = dataset.get_item(_TAG[name])
    value, is_little = (raw.value or b"", raw.is_little_endian) if isinstance(raw, RawDataElement) else (b"", True)
    if name in _NUMBERS:
        return int.from_bytes(value[:2], "little" if is_little else "big")
    return value.decode("utf-8", "replace").rstrip("\0 ")


def _is_truncated(syntax: Any, pixels: int, remaining: int) -> bool:
    """Whether the file ends before its pixels do. In compressed files only decoding can find most truncations."""
    if syntax.is_encapsulated:
        return remaining <= 0
    tag_and_length = 8 if syntax.is_implicit_VR else 12
    return remaining < tag_and_length + pixels
