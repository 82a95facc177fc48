"""The patients and images of a dataset, from what its tables name to each split: how many, left out, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfm.core import files
from tfm.data.dataset.dataset import AUDIT, LABELS, LESIONS, Dataset
from tfm.data.dataset.lesions_to_images import VIEW_KEY
from tfm.data.dataset.split import SPLITS
from tfm.data.patient_id import normalise_patient_id

SPLIT_TITLES = {"train": "Training", "val": "Validation", "test": "Test"}
_UNUSABLE = "the file could not be read"


@dataclass(frozen=True)
class Count:
    patients: int
    images: int

    def __str__(self) -> str:
        return f"{_count(self.patients, 'patient')}, {_count(self.images, 'image')}"


@dataclass(frozen=True)
class PatientFlow:
    named: Count  # by the tables of the collection
    left_out: dict[str, Count]  # by reason; a patient may be in several
    merged: int  # patients that are the same as another one
    kept: Count
    splits: dict[str, Count]
    labels: dict[str, dict[str, int]]  # split → label → images

    @property
    def without_images(self) -> int:
        """Patients of whom every image was left out."""
        return self.named.patients - self.merged - self.kept.patients


def count_patients(dataset: Dataset) -> PatientFlow:
    """Count from the dataset's manifest, its lesion table and its audit."""
    named = _list_named_images(dataset.folder / LESIONS, is_crops=_has_crops(dataset))
    kept = dataset.manifest
    findings = files.read_json(dataset.folder / AUDIT)["findings"]
    reasons = {one["subject"]: one["words"] for one in findings if one["kind"] == "left-out"}
    lost = named[~named["image_id"].isin(kept["image_id"])]
    lost = lost.assign(reason=[reasons.get(image, _UNUSABLE) for image in lost["image_id"]])
    original = set(named["patient_id"])
    return PatientFlow(
        named=_count_rows(named),
        left_out={str(reason): _count_rows(rows) for reason, rows in lost.groupby("reason")},
        merged=len(original & set(named["patient_id"][named["image_id"].isin(kept["image_id"])]))
        - kept["patient_id"].nunique(),
        kept=_count_rows(kept),
        splits={split: _count_rows(kept[kept["split"] == split]) for split in SPLITS},
        labels={
            split: {label: int(((kept["split"] == split) & (kept["label"] == label)).sum()) for label in LABELS}
            for split in SPLITS
        },
    )


def _has_crops(dataset: Dataset) -> bool:
    return bool(dataset.manifest["image_id"].str.contains(r"_(?:mass|calc)_\d+$").any())


def _list_named_images(path: Path, *, is_crops: bool) -> pd.DataFrame:
    """Each image that the tables name, once. CBIS-DDSM's name lesions: an image is a view, or the lesion of a crop."""
    lesions = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "image_id" in lesions:
        return lesions[["image_id", "patient_id"]]
    parts = [*VIEW_KEY, "kind", "lesion_id"] if is_crops else VIEW_KEY
    names = lesions[parts].agg("_".join, axis=1)
    patients = lesions["patient_id"].map(normalise_patient_id)
    return pd.DataFrame({"image_id": names, "patient_id": patients}).drop_duplicates("image_id")


def _count_rows(rows: pd.DataFrame) -> Count:
    return Count(rows["patient_id"].nunique(), len(rows))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
