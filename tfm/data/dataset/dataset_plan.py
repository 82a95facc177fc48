"""Plan a dataset from a catalog: the path of each image, and why others are left out. Nothing is written here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError
from tfm.data.dataset import split as splitting
from tfm.data.dataset.dataset import LABELS, MANIFEST_COLUMNS, format_manifest, name_image_file, name_mask_file
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.dataset.lesions_to_images import (
    VIEW_KEY,
    Lesion,
    build_crop_table,
    build_mammogram_table,
    group_by_lesion,
    group_by_view,
)
from tfm.data.dataset.same_patients import SamePatients, find_same_patients
from tfm.data.download.headers import is_jpeg
from tfm.data.download.match_files import Catalog, format_lesion_subject
from tfm.data.download.notices import Notice, sort_notices

ROLES = {"full": "image", "crops": "crop"}
_ROLE_NAMES = {"image": "mammograms", "crop": "crops"}


@dataclass(frozen=True, slots=True)
class LesionMask:
    subject: str
    file: Path
    sop_uid: str
    size: int  # bytes
    pixel_class: int  # in lesion_classes.MASK_CLASSES


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
class DatasetSettings:
    """The settings of a dataset, except `lesions`: the catalog has only the kinds that were chosen."""

    images: Literal["full", "crops"]
    split: Literal["official", "random", "kfold"]
    without_callback: Literal["benign", "left out"]
    val_share: float
    seed: int
    as_png: bool

    @property
    def role(self) -> str:
        """The role of the files that become images."""
        return ROLES[self.images]


@dataclass(frozen=True)
class DatasetPlan:
    choices: DatasetSettings
    images: pd.DataFrame  # the manifest with further columns
    planned: list[PlannedImage]  # in the order of the manifest
    same_patients: SamePatients
    noticed: list[Notice]
    lesions: str  # the kinds in the catalog, as in mass+calc
    synthetic: bool
    expected: int  # images in TCIA's test set by the CSVs; all images if the split is random
    tests_without_csv: tuple[str, ...]

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
        return {"lesions": self.lesions} | asdict(self.choices) | unused

    @property
    def protocol(self) -> str:
        """The protocol that every figure measured on the test split must state."""
        choices = self.choices
        kinds = [kind for kind in ("mass", "calc") if self.images["kind"].str.contains(kind).any()]
        seed = f"(seed {choices.seed})"
        of_folds = f"official test, {splitting.describe_fold(1)} {seed}"
        changed = int((self.images["relabelled"] & (self.images["split"] == "test")).sum())
        is_sealed = choices.split != "random"
        here = int((self.images["split"] == "test").sum()) if is_sealed else len(self.images)
        what = "test images" if is_sealed else "images"
        parts = [
            "phantoms" if self.synthetic else "",
            {"official": "official", "random": f"random {seed}", "kfold": of_folds}[choices.split],
            "+".join(kinds),
            "crops" if choices.images == "crops" else "",
            f"union labels ({changed} changed)" if len(kinds) > 1 and choices.images == "full" else "",
            self.same_patients.describe(),
            "without-callback left out" if choices.without_callback == "left out" else "",
            "8-bit JPEG" if any(is_jpeg(str(image.source)) for image in self.planned) else "",
            f"{here} of {self.expected} {what}" if here < self.expected else "",
            *(f"no CSV of {name}" for name in self.tests_without_csv if is_sealed and name.split()[0] in kinds),
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


def plan_dataset(catalog: Catalog, choices: DatasetSettings) -> DatasetPlan:
    role = choices.role
    images, noticed = build_mammogram_table(catalog.lesions) if role == "image" else build_crop_table(catalog.lesions)
    groups = group_by_view(catalog.lesions) if role == "image" else group_by_lesion(catalog.lesions)
    # The first issue of the scan that has a complete file: all issues have the same pixels.
    sources = {
        name: next((one for one in lesions if one[f"{role}_file"]), lesions[0]) for name, lesions in groups.items()
    }
    present = images["image_id"].map(lambda name: sources[name][f"{role}_file"] != "")
    _refuse_unusable_download(catalog, choices, present)
    wanted = images["callback"] | (choices.without_callback == "benign")
    same_patients = find_same_patients(catalog.lesions, {"image", role})
    images["scan"] = images[VIEW_KEY].agg("_".join, axis=1)
    images["patient_id"] = images["patient_id"].map(same_patients.patient_of)
    images["fold"], images["split"] = _assign_splits(images, present & wanted, choices)
    of_test_patient = "a training image of a patient in the official test set"
    reasons = images["split"].map(lambda split: "" if split else of_test_patient)  # "" for images that stay
    reasons = reasons.mask(~wanted, "benign without callback, left out by the settings")
    reasons = reasons.mask(~present, "no complete file")
    kept = images[reasons == ""].reset_index(drop=True)
    planned = [
        _plan_image(row, sources[row["image_id"]], groups[row["image_id"]], choices) for row in kept.to_dict("records")
    ]
    kept = kept.assign(
        file=[image.file for image in planned],
        mask=[image.mask for image in planned],
        sop_uid=[sources[name][f"{role}_sop"] for name in kept["image_id"]],
    )
    _refuse_shared_files(kept)
    shown = {*kept["scan"], *kept["image_id"]}
    about_images = [*noticed, *_compare_issues(sources, groups, role)]
    findings = [*catalog.notices, *(one for one in about_images if one.subject in shown)]
    findings += same_patients.list_notices()
    findings += [Notice("left-out", name, why) for name, why in zip(images["image_id"], reasons, strict=True) if why]
    return DatasetPlan(
        choices=choices,
        images=kept,
        planned=planned,
        same_patients=same_patients,
        noticed=findings,
        lesions="+".join(sorted(set(catalog.lesions["kind"]))),
        synthetic=catalog.synthetic,
        expected=int((wanted & ((images["official"] == "test") | (choices.split == "random"))).sum()),
        tests_without_csv=tuple(
            one.subject for one in catalog.notices if one.kind == "no-csv" and one.subject.endswith(" test")
        ),
    )


def _refuse_unusable_download(catalog: Catalog, choices: DatasetSettings, present: pd.Series) -> None:
    what = _ROLE_NAMES[choices.role]
    if not present.any():
        raise DataError(
            f"the download has none of the {what} that the CSVs name",
            hint=f"check that the folder has {what}, and that the CSVs belong to it",
        )
    if choices.split != "random" and not catalog.has_test(choices.role):
        raise SettingsError(
            "the download has no image of the official test set, so the official split is impossible",
            hint=f"add the test CSVs and their files, or choose {hints.setting('split', 'random')}",
            fields=("split",),
        )


def _refuse_shared_files(images: pd.DataFrame) -> None:
    shared = images[images.duplicated("sop_uid", keep=False)].sort_values(["sop_uid", "image_id"])
    if len(shared):
        names = shared.loc[shared["sop_uid"] == shared["sop_uid"].iloc[0], "image_id"]
        raise DataError(
            f"{' and '.join(names)} have the same file: SOP instance {shared['sop_uid'].iloc[0]}",
            hint="compare their rows with the official case CSVs: one of them names the series of the other",
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


def _compare_issues(sources: dict[str, Lesion], groups: dict[str, list[Lesion]], role: str) -> list[Notice]:
    """Report scans that were issued twice and whose files differ in size; both files must exist."""
    findings = []
    for name, source in sources.items():
        issue = f"{source['kind']} {source['split']}"
        if issue != f"{groups[name][0]['kind']} {groups[name][0]['split']}":
            findings.append(Notice("repaired", name, f"the file of its {issue} issue is used"))
        here = [lesion for lesion in groups[name] if lesion[f"{role}_file"]]
        sizes = sorted({f"{one[f'{role}_rows']} × {one[f'{role}_columns']}" for one in here})
        if len(sizes) > 1:
            findings.append(Notice("odd-twin", name, f"its issues differ in size: {' and '.join(sizes)} pixels"))
    return findings


def _plan_image(
    image: dict[Hashable, Any], source: Lesion, lesions: list[Lesion], choices: DatasetSettings
) -> PlannedImage:
    """Plan a mask only if all lesions have a mask file: in a mask, a missing lesion would be background.

    A crop has no mask: its position in the mammogram is not recorded.
    """
    role = choices.role
    path = Path(source[f"{role}_file"])
    has_masks = role == "image" and all(lesion["mask_file"] for lesion in lesions)
    ending = ".png" if choices.as_png else path.suffix.lower()
    return PlannedImage(
        image_id=image["image_id"],
        source=path,
        size=source[f"{role}_bytes"],
        file=name_image_file(image["split"], image["label"], image["image_id"], ending),
        mask=name_mask_file(image["image_id"]) if has_masks else "",
        rows=source[f"{role}_rows"],
        columns=source[f"{role}_columns"],
        lesions=tuple(
            LesionMask(
                subject=format_lesion_subject(lesion),
                file=Path(lesion["mask_file"]),
                sop_uid=lesion["mask_sop"],
                size=lesion["mask_bytes"],
                pixel_class=encode_mask_class(lesion["kind"], lesion["pathology"]),
            )
            for lesion in (lesions if has_masks else ())
        ),
    )
