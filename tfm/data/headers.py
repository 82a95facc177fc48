"""DICOM headers of a download, without pixels: what each file says it is, and whether it is all there."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from tfm.core.errors import DataError

PHANTOM_MAKER = "TFM phantom"  # in the header of every drawn image, so that none is ever taken for a patient's

_TAGS = [
    "Manufacturer",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "SeriesDescription",
    "Rows",
    "Columns",
    "BitsAllocated",
    "SamplesPerPixel",
]

# What pydicom and the lines below raise on a file that is cut, or no DICOM at all.
_NO_HEADER = (
    *(InvalidDicomError, BytesLengthException, struct.error),
    *(EOFError, AttributeError, KeyError, TypeError, ValueError),
)


@dataclass(frozen=True, slots=True)
class Header:
    """Of an unreadable file only `path` and `size` are known."""

    path: Path
    size: int  # bytes on disk
    fault: str = ""  # "unreadable" | "truncated" | ""
    sop_uid: str = ""
    series_uid: str = ""
    study_uid: str = ""
    subject: str = ""  # the header's PatientID: at TCIA the name of one view or one lesion
    description: str = ""
    rows: int = 0
    columns: int = 0
    bits: int = 0  # allocated for a pixel
    maker: str = ""

    @property
    def synthetic(self) -> bool:
        return self.maker == PHANTOM_MAKER


def dicom_files(folders: Sequence[Path]) -> list[Path]:
    """Sorted. Names that start with a dot are what macOS leaves on foreign disks, not images."""
    found = {
        path.resolve()
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() == ".dcm" and not path.name.startswith(".") and path.is_file()
    }
    if not found:
        raise DataError(
            f"no DICOM files under {', '.join(map(str, folders))}",
            hint="choose the folder NBIA Data Retriever wrote: it holds manifest-…/CBIS-DDSM/Mass-Training_P_00001_…",
        )
    return sorted(found)


def read_headers(paths: Sequence[Path]) -> Iterator[Header]:
    """One a file and in their order, so that whoever asks can show how far it is."""
    return map(_read_header, paths)


def _read_header(path: Path) -> Header:
    size = path.stat().st_size
    with open(path, "rb") as file:
        try:
            found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
            pixels_at = file.tell()
            return Header(
                path=path,
                size=size,
                sop_uid=str(found.SOPInstanceUID),
                series_uid=str(found.SeriesInstanceUID),
                study_uid=str(found.get("StudyInstanceUID", "")),
                subject=str(found.get("PatientID", "")),
                description=str(found.get("SeriesDescription", "")),
                rows=int(found.Rows),
                columns=int(found.Columns),
                bits=int(found.BitsAllocated),
                maker=str(found.get("Manufacturer", "")),
                fault="truncated" if _is_cut(found, size - pixels_at) else "",
            )
        except _NO_HEADER:
            return Header(path=path, size=size, fault="unreadable")


def _is_cut(found: Any, left: int) -> bool:
    """Whether fewer bytes are left in the file than its pixels take; compressed pixels tell only when decoded."""
    if found.file_meta.TransferSyntaxUID.is_compressed:
        return left <= 0
    tag_and_length = 8 if found.file_meta.TransferSyntaxUID.is_implicit_VR else 12
    pixels: int = found.Rows * found.Columns * found.get("SamplesPerPixel", 1) * found.BitsAllocated // 8
    return left < tag_and_length + pixels
