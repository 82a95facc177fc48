"""CMMD: the Chinese Mammography Database of TCIA. Its labels are for breasts, by biopsy."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.core.file_walk import FoundFile
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.download.notices import Notice
from tfm.data.new_images.image_facts import read_image_facts
from tfm.data.sources.collection import Collection, Listing, ReadingOptions
from tfm.data.sources.table_images import SIDES, TableImage, build_source_images
from tfm.data.sources.tables import ROW, read_named_columns, refuse_unknown_values

_PATIENT = re.compile(r"(?:^|/)(D[12]-\d{4})(?=/)")
_SPREADSHEET = re.compile(r"cmmd.*clinical.*\.(xlsx?|csv)", re.IGNORECASE)
_COLUMNS = {
    "patient": ("ID1",),
    "side": ("LeftRight",),
    "abnormality": ("abnormality",),
    "label": ("classification",),
}
_KINDS = {"mass": "mass", "calcification": "calc", "both": "mass+calc"}
_LABELS = {"benign": "benign", "malignant": "malignant"}
_DOWNLOAD = "download CMMD_clinicaldata_revision.xlsx from the CMMD page at TCIA, and put it beside the images"
_OTHER_BREAST = "the breast without biopsy, so without label"


@dataclass(frozen=True)
class Breast:
    label: str
    kind: str


class Cmmd(Collection):
    facts = CollectionFacts(
        name="cmmd",
        title="CMMD",
        labels="labels by biopsy",
        licence="CC BY 4.0",
        citation="Cui C. et al., The Chinese Mammography Database (CMMD), The Cancer Imaging Archive (2021), "
        "doi:10.7937/tcia.eqde-4b16",
    )
    table = "CMMD_clinicaldata_revision.xlsx, or folders such as D1-0001"

    def recognises(self, listing: Listing) -> bool:
        return any(_PATIENT.search(file.path) or _SPREADSHEET.search(file.path) for file in listing.readable)

    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        breasts = _read_spreadsheet(listing)
        rows, notices = _list_images(listing, breasts)
        seen = {(row.patient, row.side) for row in rows}
        rows += [
            TableImage(patient, None, f"each image of {patient}", breast.label, side=side, kind=breast.kind)
            for (patient, side), breast in breasts.items()
            if (patient, side) not in seen
        ]
        return (yield from build_source_images(self.facts, rows, listing, notices=notices))


def _read_spreadsheet(listing: Listing) -> dict[tuple[str, str], Breast]:
    found = [path for path in listing.list_tables(".xlsx", ".xls", ".csv") if _SPREADSHEET.search(path.name)]
    if not found:
        raise DataError("the download has no clinical spreadsheet of CMMD", hint=_DOWNLOAD)
    return read_breasts(found[0])


def read_breasts(spreadsheet: Path) -> dict[tuple[str, str], Breast]:
    """Map patient and side to what the biopsy found."""
    table = read_named_columns(spreadsheet, _COLUMNS, {}, hint=_DOWNLOAD)
    table["side"] = refuse_unknown_values(spreadsheet, table, "side", SIDES, str.upper)
    table["kind"] = refuse_unknown_values(spreadsheet, table, "abnormality", _KINDS, str.lower)
    table["label"] = refuse_unknown_values(spreadsheet, table, "label", _LABELS, str.lower)
    breasts: dict[tuple[str, str], Breast] = {}
    for row in table.to_dict("records"):
        key, breast = (row["patient"], row["side"]), Breast(row["label"], row["kind"])
        if breasts.setdefault(key, breast) != breast:
            raise DataError(
                f"{spreadsheet}, row {row[ROW]}: {' '.join(key)} has another row that says something else",
                hint="compare the two rows with the spreadsheet at TCIA, and remove one of them",
            )
    return breasts


def _list_images(listing: Listing, breasts: dict[tuple[str, str], Breast]) -> tuple[list[TableImage], list[Notice]]:
    """A row for each DICOM file of a patient of the spreadsheet, and notices about the others."""
    patients = {patient for patient, _ in breasts}
    rows, unclaimed = [], Counter[str]()
    views: dict[str, list[FoundFile]] = defaultdict(list)
    for file in listing.readable:
        if not file.path.lower().endswith(".dcm"):
            continue
        header = read_image_facts(Path(file.path), "")
        in_path = _PATIENT.findall(listing.locate(file.path))
        patient = header.patient or (in_path[-1] if in_path else "")
        if patient not in patients:
            unclaimed[patient or "unnamed"] += 1
            continue
        views[patient].append(file)
        breast = breasts.get((patient, header.side))
        excluded = "" if breast else _OTHER_BREAST if header.side else "its header does not name the side"
        rows.append(
            TableImage(
                patient,
                file,
                listing.locate(file.path),
                breast.label if breast else "",
                excluded=excluded,
                side=header.side,
                view=header.view,
                kind=breast.kind if breast else "",
            )
        )
    notices = [
        Notice("unclaimed", patient, f"{count} files are not in the spreadsheet")
        for patient, count in sorted(unclaimed.items())
    ]
    return rows, notices
