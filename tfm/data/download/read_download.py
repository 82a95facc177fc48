"""From the folders a person names to a catalog, in the order of the work. Each step lives in a module of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.data.download import catalog, tcia_metadata
from tfm.data.download import folders as download
from tfm.data.download.header_index import read_headers
from tfm.data.download.headers import Header
from tfm.data.download.notices import Notice
from tfm.data.sources import cbis_ddsm, kaggle

_STEPS = 100  # of the progress told: ten thousand events would only fill a log


@dataclass(frozen=True)
class DownloadContents:
    sources: tuple[Path, ...]
    case_files: list[Path]
    cases: pd.DataFrame  # of both kinds, as far as there are CSVs
    headers: list[Header]
    listing: pd.DataFrame | None
    notices: list[Notice]


def read_download(given: Sequence[Path], csvs: Sequence[Path], index: Path) -> Generator[Event, None, DownloadContents]:
    """Finds and reads all there is, opening no file that `index` knows unchanged."""
    found = download.scan_folders(given, csvs)
    download.refuse_nested_folders(index, found.folders)
    case_files = cbis_ddsm.find_case_files(found.tables)
    cases = cbis_ddsm.read_cases(case_files)
    headers: list[Header] = []
    for header in read_headers(found.images, index):
        headers.append(header)
        if len(headers) % max(1, len(found.images) // _STEPS) == 0 or len(headers) == len(found.images):
            yield Progress("headers", len(headers), len(found.images), "files")
    headers = kaggle.add_dicom_info(headers, found.tables.which(kaggle.is_dicom_info))
    listing, ignored = _read_listings(found.tables)
    noticed = [*found.notices, *ignored, *_report_unclaimed_files(cases, headers)]
    return DownloadContents(found.sources, case_files, cases, headers, listing, noticed)


def build_catalog(found: DownloadContents, kinds: Sequence[str]) -> catalog.Catalog:
    absent = cbis_ddsm.report_missing_csvs(found.cases, kinds)
    return catalog.match_files(
        cbis_ddsm.select_kinds(found.cases, kinds), found.headers, [*found.notices, *absent], found.listing
    )


def _read_listings(found: download.Tables) -> tuple[pd.DataFrame | None, list[Notice]]:
    """Of several downloads together. It helps to name what is missing; one that cannot be read stops nobody."""
    listed, ignored = [], []
    for path in found.which(tcia_metadata.is_listing):
        try:
            listed.append(tcia_metadata.read_listing(path))
        except DataError as error:
            ignored.append(Notice("note", path.name, f"was not used: {error.message}"))
    return (pd.concat(listed).drop_duplicates("series_uid", ignore_index=True) if listed else None), ignored


def _report_unclaimed_files(cases: pd.DataFrame, headers: Sequence[Header]) -> list[Notice]:
    """Half a CSV is seen by the files that nobody speaks of."""
    rows = cases.to_dict("records")
    subjects = {*map(catalog.format_view_subject, rows), *map(catalog.format_lesion_subject, rows)}
    series = {uid for column in cbis_ddsm.SERIES for uid in cases[column]}
    unknown = Counter(
        header.tcia_subject.partition("_")[0]
        for header in headers
        if header.fault != "unreadable" and header.tcia_subject not in subjects and header.series_uid not in series
    )
    return [
        Notice("unclaimed", group or "unnamed", f"{count} files that no CSV found speaks of")
        for group, count in sorted(unknown.items())
    ]
