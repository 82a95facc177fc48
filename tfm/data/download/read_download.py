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
from tfm.data.download.findings import Finding
from tfm.data.download.header_index import read_headers
from tfm.data.download.headers import Header
from tfm.data.sources import cbis_ddsm, kaggle

_STEPS = 100  # of the progress told: ten thousand events would only fill a log


@dataclass(frozen=True)
class Found:
    sources: tuple[Path, ...]
    case_files: list[Path]
    cases: pd.DataFrame  # of both kinds, as far as there are CSVs
    headers: list[Header]
    listing: pd.DataFrame | None
    findings: list[Finding]


def look(given: Sequence[Path], csvs: Sequence[Path], index: Path) -> Generator[Event, None, Found]:
    """Finds and reads all there is, opening no file that `index` knows unchanged."""
    found = download.survey(given, csvs)
    download.refuse_nesting(index, found.folders)
    case_files = cbis_ddsm.find_case_files(found.tables)
    cases = cbis_ddsm.read_cases(case_files)
    headers: list[Header] = []
    for header in read_headers(found.images, index):
        headers.append(header)
        if len(headers) % max(1, len(found.images) // _STEPS) == 0 or len(headers) == len(found.images):
            yield Progress("headers", len(headers), len(found.images), "files")
    headers = kaggle.with_info(headers, found.tables.which(kaggle.is_info))
    listing, ignored = _listing(found.tables)
    noticed = [*found.findings, *ignored, *_unclaimed(cases, headers)]
    return Found(found.sources, case_files, cases, headers, listing, noticed)


def catalog_of(found: Found, kinds: Sequence[str]) -> catalog.Catalog:
    absent = cbis_ddsm.absent_files(found.cases, kinds)
    return catalog.join(
        cbis_ddsm.of_kinds(found.cases, kinds), found.headers, [*found.findings, *absent], found.listing
    )


def _listing(found: download.Tables) -> tuple[pd.DataFrame | None, list[Finding]]:
    """Of several downloads together. It helps to name what is missing; one that cannot be read stops nobody."""
    listed, ignored = [], []
    for path in found.which(tcia_metadata.is_listing):
        try:
            listed.append(tcia_metadata.read_listing(path))
        except DataError as error:
            ignored.append(Finding("note", path.name, f"was not used: {error.message}"))
    return (pd.concat(listed).drop_duplicates("series_uid", ignore_index=True) if listed else None), ignored


def _unclaimed(cases: pd.DataFrame, headers: Sequence[Header]) -> list[Finding]:
    """Half a CSV is seen by the files that nobody speaks of."""
    rows = cases.to_dict("records")
    subjects = {*map(catalog.view_subject, rows), *map(catalog.lesion_subject, rows)}
    series = {uid for column in cbis_ddsm.SERIES for uid in cases[column]}
    unknown = Counter(
        header.named.partition("_")[0]
        for header in headers
        if header.fault != "unreadable" and header.named not in subjects and header.series_uid not in series
    )
    return [
        Finding("unclaimed", group or "unnamed", f"{count} files that no CSV found speaks of")
        for group, count in sorted(unknown.items())
    ]
