"""Read Kaggle's copy of the collection: JPEG files in folders named by series, and dicom_info.csv with DICOM facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from tfm.core.errors import DataError
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import PHANTOM_MAKER, Header
from tfm.data.sources.tables import read_column_names, read_text_table

_FACTS = {
    "sop_uid": "SOPInstanceUID",
    "subject": "PatientID",
    "view": "PatientOrientation",
    "side": "Laterality",
    "maker": "SecondaryCaptureDeviceManufacturer",
}
_IMAGE, _BITS = "image_path", "BitsAllocated"
_NEEDED = {_IMAGE, _BITS, *_FACTS.values()}


def is_dicom_info(path: Path) -> bool:
    return {_IMAGE, "SeriesInstanceUID"} <= set(read_column_names(path))


def read_jpeg_header(file: FoundFile) -> Header:
    """Read the size from the file and the series from its folder. The original bit depth is unknown."""
    series, name = Path(file.path).parts[-2:]
    try:
        with open(file.path, "rb") as stream:
            with Image.open(stream) as image:
                columns, rows = image.size
                comment, is_grey = image.info.get("comment", b""), image.mode == "L"
            stream.seek(max(0, file.size - 64))
            truncated = b"\xff\xd9" not in stream.read()  # the end marker of a JPEG
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Header.of_broken_file(file, error)
    fault = "truncated" if truncated else "" if is_grey else "colour"
    sop = f"{series}/{name}"
    maker = PHANTOM_MAKER if comment == PHANTOM_MAKER.encode() else ""
    return Header(file.path, file.size, fault, sop_uid=sop, series_uid=series, rows=rows, columns=columns, maker=maker)


def add_dicom_info(headers: Sequence[Header], tables: Iterable[Path]) -> list[Header]:
    """Add to JPEG headers what dicom_info.csv records about their DICOM files."""
    rows = {key: row for path in tables for key, row in _read_dicom_info(path).items()}
    merged = []
    for header in headers:
        row = rows.get(_make_key(header.path))
        if row is not None and header.is_readable:
            facts = {name: row[column] for name, column in _FACTS.items() if row[column]}
            bits = {"8": 8, "16": 16}.get(row[_BITS].removesuffix(".0"), 0)
            header = replace(header, bits=bits, **facts)  # type: ignore[arg-type]
        merged.append(header)
    return merged


def _make_key(path: str) -> tuple[str, ...]:
    """Return series and file name, the part of a path that is the same on every machine."""
    return tuple(path.replace("\\", "/").split("/")[-2:])


def _read_dicom_info(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    table = read_text_table(path).fillna("")
    missing = sorted(_NEEDED - set(table))
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}",
            hint="download dicom_info.csv from Kaggle again, or move it away: size then tells masks from crops",
        )
    rows: pd.DataFrame = table[sorted(_NEEDED)]
    return {_make_key(row[_IMAGE]): row for row in rows.to_dict("records")}  # type: ignore[misc]
