"""Plan a dataset from the images of a collection: the path of each one, and why others are left out.
Nothing is written here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError
from tfm.data.dataset import split as splitting
from tfm.data.dataset.dataset import LABELS, MANIFEST_COLUMNS, format_manifest, name_image_file, name_mask_file
from tfm.data.dataset.lesion_masks import LesionMask
from tfm.data.dataset.same_patients import SamePatients, find_same_patients
from tfm.data.dataset.source_images import DatasetSettings, SourceImages
from tfm.data.download.headers import is_jpeg
from tfm.data.download.notices import Notice, sort_notices


@dataclass(frozen=True, slots=True)
class PlannedImage:
    image_id: str
    source: Path
    size: int  # bytes
    file: str  # relative to the dataset, as in its manifest
    mask: str
    rows: int
    columns: int
    lesions: tuple[LesionMask, ...]  # all lesions of the image, or none


@dataclass(frozen=True)
class DatasetPlan:
    source: SourceImages
    choices: DatasetSettings
    images: pd.DataFrame  # the manifest with further columns
    planned: list[PlannedImage]  # in the order of the manifest
    same_patients: SamePatients
    noticed: list[Notice]
    expected: int  # usable images in the published test set; all usable ones if the split is random

    @property
    def manifest(self) -> pd.DataFrame:
        return self.images[list(MANIFEST_COLUMNS)]

    @property
    def notices(self) -> list[Notice]:
        return sort_notices([*self.noticed, *_find_missing_labels(self.images, self.choices)])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by which datasets of the same download differ."""
        unused = {"val_share": None} if self.choices.split == "kfold" else {}
        return self.source.describe_settings(self.choices) | unused

    @property
    def protocol(self) -> str:
        """The protocol that every figure measured on the test split must state."""
        choices, source, word = self.choices, self.source, self.source.facts.split
        seed = f"(seed {choices.seed})"
        of_folds = f"{word} test, {splitting.describe_fold(1)} {seed}"
        is_sealed = choices.split != "random"
        here = int((self.images["split"] == "test").sum()) if is_sealed else len(self.images)
        what = "test images" if is_sealed else "images"
        parts = [
            "phantoms" if source.synthetic else "",
            {"official": word, "random": f"random {seed}", "kfold": of_folds}[choices.split],
            *source.describe_content(self.images),
            self.same_patients.describe(),
            *source.describe_exclusions(),
            "8-bit JPEG" if any(is_jpeg(str(image.source)) for image in self.planned) else "",
            f"{here} of {self.expected} {what}" if here < self.expected else "",
            *(source.describe_gaps(self.images) if is_sealed else []),
        ]
        return ", ".join(filter(None, parts))

    def hash_content(self, version: int) -> str:
        """Hash all that the files are made of, with the `version` of the code; not the location of the download."""
        made_of = [
            (image.size, image.rows, image.columns, [(m.sop_uid, m.size, m.pixel_class) for m in image.lesions])
            for image in self.planned
        ]
        return hashlib.sha256((format_manifest(self.manifest) + json.dumps([version, made_of])).encode()).hexdigest()

    def exclude_files(self, bad: Mapping[str, Notice]) -> DatasetPlan:
        """Remove images that could not be written, and clear the paths of masks that could not."""
        images = self.images[~self.images["file"].isin(bad)].reset_index(drop=True)
        images["mask"] = images["mask"].mask(images["mask"].isin(bad), "")
        planned = [image for image in self.planned if image.file not in bad]
        return replace(self, images=images, planned=planned, noticed=[*self.noticed, *bad.values()])


def plan_dataset(source: SourceImages, choices: DatasetSettings) -> DatasetPlan:
    images = source.table.copy()
    present, is_wanted = images["source"] != "", images["excluded"] == ""
    _refuse_unusable_download(source, choices, present)
    same_patients = find_same_patients(images["patient_id"], source.list_compared_files())
    images["patient_id"] = images["patient_id"].map(same_patients.patient_of)
    images["fold"], images["split"] = _assign_splits(images, present & is_wanted, choices)
    of_test_patient = "a training image of a patient in the official test set"
    reasons = images["split"].map(lambda split: "" if split else of_test_patient)  # "" for images that stay
    reasons = images["excluded"].where(~is_wanted, reasons)
    reasons = reasons.mask(~present, "no complete file")
    kept = images[reasons == ""].reset_index(drop=True)
    planned = [_plan_image(row, choices) for row in kept.to_dict("records")]
    kept = kept.assign(file=[image.file for image in planned], mask=[image.mask for image in planned])
    _refuse_shared_files(kept)
    shown = {*kept["scan"], *kept["image_id"]}
    findings = [*source.notices, *(one for one in source.image_notices if one.subject in shown)]
    findings += same_patients.list_notices()
    findings += [Notice("left-out", name, why) for name, why in zip(images["image_id"], reasons, strict=True) if why]
    return DatasetPlan(
        source=source,
        choices=choices,
        images=kept,
        planned=planned,
        same_patients=same_patients,
        noticed=findings,
        expected=int((is_wanted & ((images["official"] == "test") | (choices.split == "random"))).sum()),
    )


def _refuse_unusable_download(source: SourceImages, choices: DatasetSettings, present: pd.Series) -> None:
    if not present.any():
        raise DataError(
            f"the download has none of the {source.what} that the CSVs name",
            hint=f"check that the folder has {source.what}, and that the CSVs belong to it",
        )
    if choices.split != "random" and not source.has_test_images():
        raise SettingsError(
            f"the download has no image of a published test set, so the {choices.split} split is impossible",
            hint=f"choose {hints.setting('split', 'random')}, or add the tables and files of the test set, if there is "
            "one",
            fields=("split",),
        )


def _refuse_shared_files(images: pd.DataFrame) -> None:
    shared = images[images.duplicated("sop_uid", keep=False)].sort_values(["sop_uid", "image_id"])
    if len(shared):
        names = shared.loc[shared["sop_uid"] == shared["sop_uid"].iloc[0], "image_id"]
        raise DataError(
            f"{' and '.join(names)} have the same file: SOP instance {shared['sop_uid'].iloc[0]}",
            hint="compare their rows with the published tables: one of them names the file of the other",
        )


def _assign_splits(images: pd.DataFrame, usable: pd.Series, choices: DatasetSettings) -> tuple[Any, pd.Series]:
    """Return the fold (<NA> without kfold) and the split of each image."""
    if choices.split == "kfold":
        fold = splitting.split_into_folds(images, present=usable, seed=choices.seed)
        return fold, splitting.select_validation_fold(fold, 1)
    assign = splitting.split_officially if choices.split == "official" else splitting.split_randomly
    return pd.NA, assign(images, present=usable, val_share=choices.val_share, seed=choices.seed)


def _find_missing_labels(images: pd.DataFrame, choices: DatasetSettings) -> list[Notice]:
    """Report splits and folds without a benign or a malignant image."""
    parts = {split: images["split"] == split for split in splitting.SPLITS}
    if choices.split == "kfold":
        folds = {f"fold {number}": images["fold"] == number for number in range(1, splitting.FOLDS + 1)}
        parts = folds | {"test": parts["test"]}
    return [
        Notice("thin", name, f"no {label} image")
        for name, inside in parts.items()
        for label in LABELS
        if not (inside & (images["label"] == label)).any()
    ]


def _plan_image(image: dict[Hashable, Any], choices: DatasetSettings) -> PlannedImage:
    path = Path(image["source"])
    ending = ".png" if choices.as_png else path.suffix.lower()
    return PlannedImage(
        image_id=image["image_id"],
        source=path,
        size=image["bytes"],
        file=name_image_file(image["split"], image["label"], image["image_id"], ending),
        mask=name_mask_file(image["image_id"]) if image["masks"] else "",
        rows=image["rows"],
        columns=image["columns"],
        lesions=image["masks"],
    )
