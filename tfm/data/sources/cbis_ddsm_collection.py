"""CBIS-DDSM: TCIA's download in any layout, or Kaggle's copy, with the four case CSVs."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar

from tfm.core.events import Event, Note, Table
from tfm.core.registry import InspectionResult
from tfm.data.dataset.audit import PART_COLUMN, label_column
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.download import find_files, read_download
from tfm.data.sources import cbis_ddsm, cbis_ddsm_images, kaggle
from tfm.data.sources.cbis_ddsm_images import ROLES, CbisChoices
from tfm.data.sources.collection import Collection, Listing, ReadingOptions

_SUBJECT = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_")


class CbisDdsm(Collection):
    facts: ClassVar[CollectionFacts] = cbis_ddsm_images.FACTS
    table = (
        "mass_case_description_train_set.csv and its three sisters, or folders such as Mass-Training_P_00001_LEFT_CC"
    )

    def recognises(self, listing: Listing) -> bool:
        if any(path.is_file() for path in listing.given):  # a list of files
            return True
        if any(_SUBJECT.search(file.path) for file in listing.readable):
            return True
        tables = [*listing.list_tables(".csv"), *find_files.find_tables_around(listing.given)]
        return any(cbis_ddsm.is_case_file(path) or kaggle.is_dicom_info(path) for path in tables)

    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        found = yield from read_download.read_download(listing.given, listing.csv, listing.index)
        kinds = ("mass", "calc") if options.lesions == "both" else (options.lesions,)
        catalog = read_download.build_catalog(found, kinds)
        choices = CbisChoices(options.images, options.without_callback)
        return cbis_ddsm_images.build_cbis_images(catalog, choices)

    def list_sources(self, listing: Listing) -> tuple[Path, ...]:
        return find_files.find_sources(listing.given)

    def inspect(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, InspectionResult]:
        found = yield from read_download.read_download(listing.given, listing.csv, listing.index)
        kinds = sorted(set(found.cases["kind"]), reverse=True)
        catalog = read_download.build_catalog(found, kinds)
        layouts = ", ".join(find_files.describe_layouts(header.path for header in found.headers))
        counts = cbis_ddsm_images.count_expected_and_found(catalog.lesions)
        rows = [[name, *map(str, row.values())] for name, row in counts.items()]
        columns = [PART_COLUMN, *map(label_column, next(iter(counts.values())))]
        yield Table(f"Found: {self.facts.title}", columns, rows, f"{len(found.headers)} files: {layouts}")
        yield from cbis_ddsm_images.build_cbis_images(catalog, CbisChoices()).report_gaps()
        fixed: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        if len(kinds) == 1:
            fixed["lesions"] = kinds[0]
            reasons["lesions"] = "no CSV of the other kind was found"
        here = {images: role for images, role in ROLES.items() if (catalog.lesions[f"{role}_file"] != "").any()}
        if len(here) == 1:
            fixed["images"] = next(iter(here))
            reasons["images"] = "the download has no others"
        if not any(catalog.has_test(role) for role in here.values()):
            fixed["split"] = "random"
            reasons["split"] = "the download has no official test images"
            yield Note(
                "no image of TCIA's test set was found: the split will be random, and every figure will state it",
                "warning",
            )
        return InspectionResult(fixed=fixed, choices={name: [value] for name, value in fixed.items()}, reasons=reasons)
