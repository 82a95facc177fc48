"""Kaggle's copy of the collection: JPEG files in folders named by series, and dicom_info.csv with what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from tfm.core.errors import DataError
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import PHANTOM_MAKER, Header
from tfm.data.sources.cbis_ddsm import read_column_names, read_text_table

_FACTS = {
    "sop_uid": "SOPInstanceUID",
    "subject": "PatientID",
    "view": "PatientOrientation",
    "side": "Laterality",
    "maker": "SecondaryCaptureDeviceManufacturer",
}
_IMAGE, _BITS = "image_path", "BitsAllocated"
_NEEDED = {_IMAGE, _BITS, *_FACTS.values()}
_END, _END_WITHIN = b"\xff\xd9", 64  # a whole JPEG's last mark, and the bytes in which it must stand


def is_dicom_info(path: Path) -> bool:
    return {_IMAGE, "SeriesInstanceUID"} <= set(read_column_names(path))


def read_jpeg_header(met: FoundFile) -> Header:
    """What the file and its place say: size and series. Bits are unknown, since a JPEG always has eight."""
    series, name = Path(met.path).parts[-2:]
    try:
        with open(met.path, "rb") as file:
            with Image.open(file) as image:
                columns, rows = image.size
                comment, is_grey = image.info.get("comment", b""), image.mode == "L"
            file.seek(max(0, met.size - _END_WITHIN))
            cut = _END not in file.read()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return Header(path=met.path, size=met.size, fault="unreadable")
    fault = "truncated" if cut else "" if is_grey else "colour"
    sop = f"{series}/{name}"
    maker = PHANTOM_MAKER if comment == PHANTOM_MAKER.encode() else ""
    return Header(met.path, met.size, fault, sop_uid=sop, series_uid=series, rows=rows, columns=columns, maker=maker)


def add_dicom_info(found: Sequence[Header], tables: Iterable[Path]) -> list[Header]:
    """JPEG headers with the facts that dicom_info.csv tells of the file each was made from."""
    known = {place: row for path in tables for place, row in _read_dicom_info(path).items()}
    return [_told(header, known.get(_place(header.path))) for header in found]


def _told(header: Header, row: dict[str, str] | None) -> Header:
    if row is None or header.fault == "unreadable":
        return header
    facts = {name: row[column] for name, column in _FACTS.items() if row[column]}
    bits = {"8": 8, "16": 16}.get(row[_BITS].removesuffix(".0"), 0)
    return replace(header, bits=bits, **facts)  # type: ignore[arg-type]


def _place(path: str) -> tuple[str, ...]:
    """Series and name: the rest of a path is that of another machine."""
    return tuple(path.replace("\\", "/").split("/")[-2:])


def _read_dicom_info(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    table = read_text_table(path).fillna("")
    missing = sorted(_NEEDED - set(table))
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}",
            hint="take dicom_info.csv as Kaggle offers it, or move it away: sizes then tell masks from crops",
        )
    rows: pd.DataFrame = table[sorted(_NEEDED)]
    return {_place(row[_IMAGE]): row for row in rows.to_dict("records")}  # type: ignore[misc]
