"""Read a download: find its files, read the CSVs and headers, build the catalog. Each step has its own module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.data.download import find_files, match_files, tcia_metadata
from tfm.data.download.header_index import read_headers_with_progress
from tfm.data.download.headers import Header
from tfm.data.download.notices import Notice
from tfm.data.sources import cbis_ddsm, kaggle

# The names of some files are not Unicode. Where pyarrow is installed, pandas keeps texts in it, and it refuses them.
pd.set_option("mode.string_storage", "python")


@dataclass(frozen=True)
class DownloadContents:
    sources: tuple[Path, ...]
    case_files: list[Path]
    cases: pd.DataFrame  # masses and calcifications
    headers: list[Header]
    listing: pd.DataFrame | None
    notices: list[Notice]


def read_download(given: Sequence[Path], csvs: Sequence[Path], index: Path) -> Generator[Event, None, DownloadContents]:
    """Find and read all files, except those that the header index has and that did not change."""
    download = find_files.scan_folders(given, csvs)
    find_files.refuse_nested_folders(index, download.folders)
    case_files = cbis_ddsm.find_case_files(download.tables)
    cases = cbis_ddsm.read_cases(case_files)
    headers = yield from read_headers_with_progress(download.images, index)
    headers = kaggle.add_dicom_info(headers, download.tables.select(kaggle.is_dicom_info))
    listing, ignored = _read_listings(download.tables)
    notices = [*download.notices, *ignored, *_report_unclaimed_files(cases, headers)]
    return DownloadContents(download.sources, case_files, cases, headers, listing, notices)


def build_catalog(contents: DownloadContents, kinds: Sequence[str]) -> match_files.Catalog:
    cases = cbis_ddsm.select_kinds(contents.cases, kinds)
    missing = cbis_ddsm.report_missing_csvs(contents.cases, kinds)
    return match_files.match_files(cases, contents.headers, [*contents.notices, *missing], contents.listing)


def _read_listings(tables: find_files.Tables) -> tuple[pd.DataFrame | None, list[Notice]]:
    """Read and merge all metadata.csv. They only help to name missing series, so an unreadable one is skipped."""
    listed, ignored = [], []
    for path in tables.select(tcia_metadata.is_listing):
        try:
            listed.append(tcia_metadata.read_listing(path))
        except DataError as error:
            ignored.append(Notice("note", path.name, f"is ignored: {error.message}"))
    return (pd.concat(listed).drop_duplicates("series_uid", ignore_index=True) if listed else None), ignored


def _report_unclaimed_files(cases: pd.DataFrame, headers: Sequence[Header]) -> list[Notice]:
    """Count the files that no CSV lists: they show that a CSV is incomplete."""
    rows = cases.to_dict("records")
    subjects = {*map(match_files.format_view_subject, rows), *map(match_files.format_lesion_subject, rows)}
    series = {uid for column in cbis_ddsm.SERIES for uid in cases[column]}
    unknown = Counter(
        header.tcia_subject.partition("_")[0]
        for header in headers
        if header.is_readable and header.tcia_subject not in subjects and header.series_uid not in series
    )
    return [
        Notice("unclaimed", group or "unnamed", f"{count} files are not in any CSV found")
        for group, count in sorted(unknown.items())
    ]
