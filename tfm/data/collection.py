"""What TCIA itself says of a download: NBIA's metadata.csv, and the .tcia manifest that asks for series.
The case CSVs are read in `tables`; no DICOM file is looked at."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

import pandas as pd

from tfm.core.errors import DataError

# Our name for a column: NBIA's, as `_plain` has it.
_NEEDED = {
    "series_uid": "series uid",
    "subject": "subject id",
    "files": "number of images",
    "location": "file location",
}
_OPTIONAL = {"study_uid": "study uid", "description": "series description", "size": "file size"}
_COLUMNS = ["series_uid", "study_uid", "subject", "description", "files", "size", "location"]
_UNITS = {"B": 1, "BYTES": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}  # NBIA counts in thousands
_UID = r"[0-9]+(\.[0-9]+)+"
_MAX_HEADER = 1 << 16  # bytes
_AGAIN = "let NBIA Data Retriever finish, which writes it anew, or move the file out of the download"

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
    with open(path, "rb") as file:
        lines = file.read(_MAX_HEADER).decode("utf-8-sig", errors="replace").lstrip().splitlines()
    headers = {_plain(name) for line in lines[:1] for name in line.split(",")}
    return set(_NEEDED.values()) <= headers


def read_listing(path: Path) -> pd.DataFrame:
    """A row a series: series_uid, study_uid, subject (TCIA's PatientID), description, files (how many), size and

    location   its folder, below the one that holds the listing

    `size` is in bytes, as exact as NBIA's two decimals. study_uid and description are "" and size is missing where
    the listing has no such column.
    """
    listed = _typed(_read_columns(path), path).drop_duplicates(ignore_index=True)
    twice = listed[listed.duplicated("series_uid")]
    if len(twice):
        raise DataError(f"{path} lists series {twice['series_uid'].iloc[0]} in two ways", hint=_AGAIN)
    return listed


def tcia_manifest(series: Iterable[str]) -> str:
    """What NBIA Data Retriever opens to download these series: equal series give an equal text."""
    wanted = sorted(set(series))
    for uid in wanted:
        _check_uid(uid, "cannot be asked for", hint="use the official case CSVs: their paths hold the series UIDs")
    # NBIA names the download's folder after the basket: 19 digits, as its own have.
    digest = hashlib.blake2b("\n".join(wanted).encode(), digest_size=8).digest()
    head = _MANIFEST_HEAD.format(basket=f"{int.from_bytes(digest) % 10**19:019d}")
    return head + "\n".join([_SERIES_FOLLOW, *wanted])


def read_manifest(text: str) -> list[str]:
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


def _plain(header: str) -> str:
    return header.strip().strip('"').lower().replace("_", " ")


def _read_columns(path: Path) -> pd.DataFrame:
    """The columns we know as they are written, each line whole."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a listing of series: {error}", hint=_AGAIN) from error
    if not rows:
        raise DataError(f"{path} is empty", hint=_AGAIN)
    headers = [_plain(name) for name in rows[0]]
    for theirs in _NEEDED.values():
        if theirs not in headers:
            raise DataError(f'{path} has no column "{theirs}"', hint=_AGAIN)
    _refuse_half(path, rows, last_line_ends=text.endswith(("\n", "\r")))
    places = {ours: headers.index(name) for ours, name in (_NEEDED | _OPTIONAL).items() if name in headers}
    return pd.DataFrame({ours: [row[place].strip() for row in rows[1:]] for ours, place in places.items()}, dtype=str)


def _refuse_half(path: Path, rows: list[list[str]], *, last_line_ends: bool) -> None:
    """A download that was killed leaves half a line, maybe half of its last value."""
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(rows[0]):
            raise DataError(
                f"{path}, series {number}: {len(row)} values for {len(rows[0])} columns, the last in "
                f'"{rows[0][min(len(row), len(rows[0])) - 1]}"',
                hint=_AGAIN,
            )
    if len(rows) > 1 and not last_line_ends:
        raise DataError(f'{path} stops in the middle of a line, in its column "{rows[0][-1]}"', hint=_AGAIN)


def _typed(listed: pd.DataFrame, path: Path) -> pd.DataFrame:
    def refuse(column: str, wrong: pd.Series[bool]) -> None:
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            name = (_NEEDED | _OPTIONAL)[column]
            value = listed[column].iloc[row]
            raise DataError(f'{path}, series {row + 1}: no usable value for "{name}": {value!r}', hint=_AGAIN)

    refuse("series_uid", ~listed["series_uid"].str.fullmatch(_UID))
    refuse("subject", listed["subject"] == "")
    refuse("files", ~listed["files"].str.fullmatch(r"[0-9]{1,9}"))
    locations = listed["location"].map(_inside)
    refuse("location", locations == "")
    sizes = pd.Series(pd.NA, index=listed.index, dtype="Int64")
    if "size" in listed:
        sizes = listed["size"].map(_bytes).astype("Int64")
        refuse("size", sizes.isna())
    typed = listed.assign(files=listed["files"].astype("int64"), location=locations, size=sizes)
    return typed.reindex(columns=_COLUMNS, fill_value="")


def _inside(location: str) -> str:
    """The folder with / between its parts, or "" if it does not lie below the listing's own."""
    path = PureWindowsPath(location)
    if path.anchor or ".." in path.parts or not path.parts:
        return ""
    return path.as_posix()


def _bytes(size: str) -> int | None:
    """Of "14.06 MB"."""
    number, _, unit = size.partition(" ")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) or unit.upper() not in _UNITS:
        return None
    return round(float(number) * _UNITS[unit.upper()])
