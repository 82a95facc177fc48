"""Folders, file names and metadata.csv as NBIA Data Retriever writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tfm.core import files
from tfm.data.archive.index import COLLECTIONS, Series, Source

METADATA = "metadata.csv"
_STUDY_IDS = {"cbis-ddsm": "DDSM", "cmmd": "NA"}


def locate_series(collection: str, series: Series) -> PurePosixPath:
    """The folder of a series inside the download."""
    study = f"{_format_date(series)}-{_STUDY_IDS[collection]}-NA-{series.study[-5:]}"
    folder = f"{series.number}.000000-{series.description or 'NA'}-{series.uid[-5:]}"
    return PurePosixPath(COLLECTIONS[collection], series.subject, study, folder)


def name_file(number: int) -> str:
    return f"1-{number}.dcm"


def write_metadata(root: Path, collection: str, wanted: Iterable[Series], source: Source) -> None:
    """Add the series to metadata.csv, which keeps what an earlier download has listed."""
    path = root / METADATA
    rows = {row["Series UID"]: row for row in _read_rows(path)}
    added = [_build_row(collection, series, source) for series in wanted]
    rows |= {row["Series UID"]: row for row in added}
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*added[0]], lineterminator="\r\n", extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(rows.values())
    files.write_text(path, buffer.getvalue())


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        return [row for row in csv.DictReader(file) if row.get("Series UID")]


def _build_row(collection: str, series: Series, source: Source) -> dict[str, str]:
    return {
        "Series UID": series.uid,
        "Collection": COLLECTIONS[collection],
        "3rd Party Analysis": "null",
        "Data Description URI": source.url,
        "Subject ID": series.subject,
        "Study UID": series.study,
        "Study Description": "NA",
        "Study Date": _format_date(series),
        "Series Description": series.description or "NA",
        "Manufacturer": "NA",
        "Modality": series.modality,
        "SOP Class Name": series.sop_class_name,
        "SOP Class UID": series.sop_class,
        "Number of Images": str(series.files),
        "File Size": f"{series.size / 1e6:.2f} MB",
        "File Location": f"./{locate_series(collection, series)}",
        "Download Timestamp": "NA",  # a time would make two equal downloads differ
    }


def _format_date(series: Series) -> str:
    year, _, day = series.date.partition("-")
    return f"{day}-{year}" if day else "NA"
