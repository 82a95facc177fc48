"""Read NBIA's metadata.csv, and write the .tcia manifests that request series.
The case CSVs are read in tfm.data.sources.cbis_ddsm."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.sources.tables import read_column_names, read_text_table

_COLUMNS = {"series uid": "series_uid", "subject id": "subject"}  # NBIA's normalized name → ours
_UID = r"[0-9]+(\.[0-9]+)+"

_MANIFEST_HEAD = """\
downloadServerUrl=https://public.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet
includeAnnotation=true
noOfrRetry=4
databasketId=manifest-{basket}.tcia
manifestVersion=3.0
ListOfSeriesToDownload=
"""


def is_listing(path: Path) -> bool:
    """Whether a file has the columns of NBIA's metadata.csv."""
    return {*_COLUMNS, "file location"} <= set(map(_normalize, read_column_names(path)))


def read_listing(path: Path) -> pd.DataFrame:
    """Read series_uid and subject (TCIA's PatientID), one row per series, skipping incomplete lines."""
    table = read_text_table(path)
    listed = table.rename(columns={name: _COLUMNS.get(_normalize(str(name)), str(name)) for name in table})[
        [*_COLUMNS.values()]
    ]
    is_complete = listed["series_uid"].str.fullmatch(_UID).fillna(False) & listed["subject"].notna()
    return listed[is_complete.astype(bool)].drop_duplicates("series_uid", ignore_index=True)


def format_manifest(series: Iterable[str]) -> str:
    """Format the manifest with which NBIA Data Retriever downloads these series; the order does not matter."""
    wanted = sorted(set(series))
    for uid in wanted:
        if not re.fullmatch(_UID, uid):
            raise DataError(
                f"invalid series UID {uid!r} in the case CSVs or metadata.csv",
                hint="use the official case CSVs: their paths contain the series UIDs",
            )
    # NBIA names the download's folder after the basket, which has 19 digits.
    digest = hashlib.blake2b("\n".join(wanted).encode(), digest_size=8).digest()
    head = _MANIFEST_HEAD.format(basket=f"{int.from_bytes(digest) % 10**19:019d}")
    return head + "\n".join(wanted)


def _normalize(header: str) -> str:
    return header.strip().lower().replace("_", " ")
