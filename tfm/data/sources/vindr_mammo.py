"""VinDr-Mammo: examinations from Hanoi with BI-RADS of breasts by radiologists, and a published test set."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.data.dataset.source_images import CollectionFacts, SourceImages
from tfm.data.sources.birads import UNCLEAR, label_birads, parse_density
from tfm.data.sources.collection import Collection, Listing, ReadingOptions
from tfm.data.sources.table_images import SIDES, TableImage, build_source_images, refuse_patients_in_two_splits
from tfm.data.sources.tables import ROW, read_named_columns, refuse_repeated_rows, refuse_unknown_values

_TABLE = "breast-level_annotations.csv"
_COLUMNS = {
    "patient": ("study_id",),
    "image": ("image_id",),
    "side": ("laterality",),
    "view": ("view_position",),
    "birads": ("breast_birads",),
    "split": ("split",),
}
_SPLITS = {"training": "train", "test": "test"}
_DOWNLOAD = f"put {_TABLE} of the VinDr-Mammo page at PhysioNet beside its folder images"


class VinDrMammo(Collection):
    facts = CollectionFacts(
        name="vindr-mammo",
        title="VinDr-Mammo",
        labels="labels by BI-RADS of radiologists: 1-2 against 4-5",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        citation="Nguyen H. T. et al., VinDr-Mammo: a large-scale benchmark dataset for computer-aided diagnosis in "
        "full-field digital mammography, Scientific Data 10, 277 (2023), doi:10.1038/s41597-023-02100-7",
    )
    table = _TABLE

    def recognises(self, listing: Listing) -> bool:
        return any(Path(file.path).name == _TABLE for file in listing.readable)

    def read(self, listing: Listing, options: ReadingOptions) -> Generator[Event, None, SourceImages]:
        tables = [path for path in listing.list_tables(".csv") if path.name == _TABLE]
        if not tables:
            raise DataError(f"the download has no {_TABLE}", hint=_DOWNLOAD)
        path = tables[0]
        table = read_named_columns(path, _COLUMNS, {"density": ("breast_density",)}, hint=_DOWNLOAD)
        refuse_repeated_rows(path, table, "image")
        table["side"] = refuse_unknown_values(path, table, "side", SIDES, str.upper)
        table["split"] = refuse_unknown_values(path, table, "split", _SPLITS, str.lower)
        files = {Path(file.path).stem: file for file in listing.readable if file.path.endswith((".dicom", ".dcm"))}
        rows = []
        for row in table.to_dict("records"):
            label, assessment, excluded = label_birads(path, row[ROW], row["birads"])
            rows.append(
                TableImage(
                    patient=row["patient"],
                    file=files.get(row["image"]),
                    named=f"images/{row['patient']}/{row['image']}.dicom",
                    label=label,
                    excluded=excluded,
                    side=row["side"],
                    view=row["view"].upper(),
                    official=row["split"],
                    density=parse_density(row.get("density", "")),
                    assessment=assessment,
                    lesions=int(assessment > 1),
                )
            )
        refuse_patients_in_two_splits(rows, path.name)
        parts = ("one examination is one patient", UNCLEAR)
        return (yield from build_source_images(self.facts, rows, listing, parts=parts))
