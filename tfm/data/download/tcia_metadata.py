"""What TCIA itself says of a download: NBIA's metadata.csv, and the .tcia manifest that asks for series.
The case CSVs are read in `tables`; no DICOM file is looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.sources.cbis_ddsm import read_column_names, read_text_table

_COLUMNS = {"series uid": "series_uid", "subject id": "subject"}  # NBIA's, as `_plain` has them: ours
_UID = r"[0-9]+(\.[0-9]+)+"

_SERIES_FOLLOW = "ListOfSeriesToDownload="
_MANIFEST_HEAD = """\
downloadServerUrl=https://public.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet
includeAnnotation=true
noOfrRetry=4
databasketId=manifest-{basket}.tcia
manifestVersion=3.0
"""


def is_listing(path: Path) -> bool:
    """Whether a file is a metadata.csv of NBIA Data Retriever, whatever it is called. Only its header line is read."""
    return {*_COLUMNS, "file location"} <= set(map(_normalize, read_column_names(path)))


def read_listing(path: Path) -> pd.DataFrame:
    """A row a series: series_uid, and subject (TCIA's PatientID). Of half a listing, the lines that are whole."""
    table = read_text_table(path)
    listed = table.rename(columns={name: _COLUMNS.get(_normalize(str(name)), str(name)) for name in table})[
        [*_COLUMNS.values()]
    ]
    whole = listed["series_uid"].str.fullmatch(_UID).fillna(False) & listed["subject"].notna()
    return listed[whole.astype(bool)].drop_duplicates("series_uid", ignore_index=True)


def format_manifest(series: Iterable[str]) -> str:
    """What NBIA Data Retriever opens to download these series: equal series give an equal text."""
    wanted = sorted(set(series))
    for uid in wanted:
        _check_uid(uid, "cannot be asked for", hint="use the official case CSVs: their paths hold the series UIDs")
    # NBIA names the download's folder after the basket: 19 digits, as its own have.
    digest = hashlib.blake2b("\n".join(wanted).encode(), digest_size=8).digest()
    head = _MANIFEST_HEAD.format(basket=f"{int.from_bytes(digest) % 10**19:019d}")
    return head + "\n".join([_SERIES_FOLLOW, *wanted])


def parse_manifest(text: str) -> list[str]:
    """The series that a .tcia manifest asks for, in its order."""
    lines = [line.strip() for line in text.splitlines()]
    if _SERIES_FOLLOW not in lines:
        raise DataError(
            f'this is no manifest of TCIA: it has no line "{_SERIES_FOLLOW}"',
            hint="choose a .tcia file, as the collection's page offers it",
        )
    series = [line for line in lines[lines.index(_SERIES_FOLLOW) + 1 :] if line]
    for uid in series:
        _check_uid(uid, "stands in the manifest", hint="download the .tcia file again")
    return series


def _check_uid(uid: str, what: str, *, hint: str) -> None:
    if not re.fullmatch(_UID, uid):
        raise DataError(f"{uid!r} is no series UID, but {what}", hint=hint)


def _normalize(header: str) -> str:
    return header.strip().lower().replace("_", " ")
