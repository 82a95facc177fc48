"""From a catalog to the plan of a dataset: which image stands where and why another does not. Nothing is written."""

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
from tfm.data.dataset.image_table import (
    VIEW_KEY,
    Lesion,
    build_crop_table,
    build_mammogram_table,
    group_by_lesion,
    group_by_view,
)
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.download.catalog import Catalog, format_lesion_subject
from tfm.data.download.headers import is_jpeg
from tfm.data.download.notices import Notice, sort_notices

ROLES = {"full": "image", "crops": "crop"}
_WHAT = {"image": "mammograms", "crop": "crops"}


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
    lesions: tuple[LesionMask, ...]  # of every lesion of the image, or none


@dataclass(frozen=True)
class DatasetSettings:
    """What a person decides about a dataset, with `lesions` already chosen by the cases that were joined."""

    images: Literal["full", "crops"]
    split: Literal["official", "random", "kfold"]
    without_callback: Literal["benign", "left out"]
    val_share: float
    seed: int
    as_png: bool

    @property
    def role(self) -> str:
        """The kind of file that is an image."""
        return ROLES[self.images]


@dataclass(frozen=True)
class DatasetPlan:
    choices: DatasetSettings
    images: pd.DataFrame  # the manifest, and what else is known of each image
    placements: list[PlannedImage]  # in the manifest's order
    noticed: list[Notice]
    lesions: str  # the kinds that were joined
    synthetic: bool
    promised: int  # images that the CSVs found have in TCIA's test; in all, where that is not looked at
    tests_without_csv: tuple[str, ...]

    @property
    def manifest(self) -> pd.DataFrame:
        return self.images[list(MANIFEST_COLUMNS)]

    @property
    def notices(self) -> list[Notice]:
        return sort_notices([*self.noticed, *_thin(self.images, self.choices)])

    @property
    def settings(self) -> dict[str, Any]:
        """What makes it another dataset than one made of the same download with other settings."""
        chosen = asdict(self.choices) | ({"val_share": None} if self.choices.split == "kfold" else {})
        return {"lesions": self.lesions} | chosen

    @property
    def protocol(self) -> str:
        """What a figure measured on the test split must say about it."""
        choices = self.choices
        kinds = [kind for kind in ("mass", "calc") if self.images["kind"].str.contains(kind).any()]
        seeded = f"(seed {choices.seed})"
        of_folds = f"official test, {splitting.describe_fold(1)} {seeded}"
        changed = int((self.images["relabelled"] & (self.images["split"] == "test")).sum())
        is_sealed = choices.split != "random"
        here = int((self.images["split"] == "test").sum()) if is_sealed else len(self.images)
        what = "test images" if is_sealed else "images"
        parts = [
            "phantoms" if self.synthetic else "",
            {"official": "official", "random": f"random {seeded}", "kfold": of_folds}[choices.split],
            "+".join(kinds),
            "crops" if choices.images == "crops" else "",
            f"union labels ({changed} changed)" if len(kinds) > 1 and choices.images == "full" else "",
            "without-callback left out" if choices.without_callback == "left out" else "",
            "8-bit JPEG" if any(is_jpeg(str(place.source)) for place in self.placements) else "",
            f"{here} of {self.promised} {what}" if here < self.promised else "",
            *(f"no CSV of {name}" for name in self.tests_without_csv if is_sealed and name.split()[0] in kinds),
        ]
        return ", ".join(filter(None, parts))

    def key(self, version: int) -> str:
        """Changes with anything a file of the dataset is made of, and with the code that makes it (`version`); not with
        where the download lies."""
        made_of = [
            (place.size, place.rows, place.columns, [(m.sop_uid, m.size, m.pixel_class) for m in place.lesions])
            for place in self.placements
        ]
        return hashlib.sha256((format_manifest(self.manifest) + json.dumps([version, made_of])).encode()).hexdigest()

    def without(self, bad: Mapping[str, Notice]) -> DatasetPlan:
        """What stands once some files of the dataset turned out to be impossible: an image goes, a mask is missed."""
        images = self.images[~self.images["file"].isin(bad)].reset_index(drop=True)
        images["mask"] = images["mask"].mask(images["mask"].isin(bad), "")
        kept = [place for place in self.placements if place.file not in bad]
        return replace(self, images=images, placements=kept, noticed=[*self.noticed, *bad.values()])


def plan_dataset(catalog: Catalog, choices: DatasetSettings) -> DatasetPlan:
    role = choices.role
    images, noticed = build_mammogram_table(catalog.lesions) if role == "image" else build_crop_table(catalog.lesions)
    groups = group_by_view(catalog.lesions) if role == "image" else group_by_lesion(catalog.lesions)
    sources = {name: _source(lesions, role) for name, lesions in groups.items()}
    present = images["image_id"].map(lambda name: sources[name][f"{role}_file"] != "")
    _refuse_nothing(catalog, choices, present)
    wanted = images["callback"] | (choices.without_callback == "benign")
    images["fold"], images["split"] = _divide(images, present & wanted, choices)
    reasons = _why_left_out(images, present, wanted)
    kept = images[reasons == ""].reset_index(drop=True)
    placements = [
        _placement(row, sources[row["image_id"]], groups[row["image_id"]], choices) for row in kept.to_dict("records")
    ]
    kept = kept.assign(
        file=[place.file for place in placements],
        mask=[place.mask for place in placements],
        sop_uid=[sources[name][f"{role}_sop"] for name in kept["image_id"]],
    )
    _refuse_one_file_for_two(kept)
    views = set(kept[VIEW_KEY].agg("_".join, axis=1))
    about_images = [*noticed, *_about_issues(sources, groups, role)]
    findings = [*catalog.notices, *(one for one in about_images if one.subject in views | set(kept["image_id"]))]
    findings += [Notice("left-out", name, why) for name, why in zip(images["image_id"], reasons, strict=True) if why]
    return DatasetPlan(
        choices=choices,
        images=kept,
        placements=placements,
        noticed=findings,
        lesions="+".join(sorted(set(catalog.lesions["kind"]))),
        synthetic=catalog.synthetic,
        promised=int((wanted & ((images["official"] == "test") | (choices.split == "random"))).sum()),
        tests_without_csv=tuple(found.subject for found in catalog.notices if _is_test_without_csv(found)),
    )


def _refuse_nothing(catalog: Catalog, choices: DatasetSettings, present: pd.Series) -> None:
    what = _WHAT[choices.role]
    if not present.any():
        raise DataError(
            f"none of the {what} the CSVs name is in the download",
            hint=f"check that the folder holds {what}, and that the CSVs belong to it",
        )
    if choices.split != "random" and not catalog.has_test(choices.role):
        raise SettingsError(
            "nothing of the official test is here: the split cannot be TCIA's",
            hint=f"add the test CSVs and their files, or choose {hints.setting('split', 'random')}",
            fields=("split",),
        )


def _refuse_one_file_for_two(images: pd.DataFrame) -> None:
    twice = images[images.duplicated("sop_uid", keep=False)].sort_values(["sop_uid", "image_id"])
    if len(twice):
        names = twice.loc[twice["sop_uid"] == twice["sop_uid"].iloc[0], "image_id"]
        raise DataError(
            f"{' and '.join(names)} are one and the same file: SOP instance {twice['sop_uid'].iloc[0]}",
            hint="compare their rows with the official case CSVs: one of them names a series that is not its own",
        )


def _is_test_without_csv(found: Notice) -> bool:
    return found.kind == "no-csv" and found.subject.endswith(" test")


def _divide(images: pd.DataFrame, usable: pd.Series, choices: DatasetSettings) -> tuple[Any, pd.Series]:
    """The fold (none but with kfold) and the split of each image."""
    if choices.split == "kfold":
        fold = splitting.split_into_folds(images, present=usable, seed=choices.seed)
        return fold, splitting.select_validation_fold(fold, 1)
    divide = splitting.split_officially if choices.split == "official" else splitting.split_randomly
    return pd.NA, divide(images, present=usable, val_share=choices.val_share, seed=choices.seed)


def _thin(images: pd.DataFrame, choices: DatasetSettings) -> list[Notice]:
    """Of folds each one validates in its turn."""
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


def _source(lesions: list[Lesion], role: str) -> Lesion:
    """The first issue of the scan that has a whole file: twins hold the same pixels."""
    return next((lesion for lesion in lesions if lesion[f"{role}_file"]), lesions[0])


def _about_issues(sources: dict[str, Lesion], groups: dict[str, list[Lesion]], role: str) -> list[Notice]:
    """Twins are one scan by woman, side and view; whether their files agree can only be told where both are here."""
    findings = []
    for name, source in sources.items():
        issue = f"{source['kind']} {source['split']}"
        if issue != f"{groups[name][0]['kind']} {groups[name][0]['split']}":
            findings.append(Notice("repaired", name, f"the file of the {issue} issue stands for the scan"))
        here = [lesion for lesion in groups[name] if lesion[f"{role}_file"]]
        sizes = sorted({f"{one[f'{role}_rows']} × {one[f'{role}_columns']}" for one in here})
        if len(sizes) > 1:
            findings.append(Notice("odd-twin", name, f"the files of its issues have {' and '.join(sizes)} pixels"))
    return findings


def _why_left_out(images: pd.DataFrame, present: pd.Series, wanted: pd.Series) -> pd.Series:
    """A reason for each image that stays out, "" for the others."""
    reasons = images["split"].map(lambda split: "" if split else "a train image of a woman who is in the official test")
    reasons = reasons.mask(~wanted, "benign without callback, left out by choice")
    return reasons.mask(~present, "no whole file")


def _placement(
    image: dict[Hashable, Any], source: Lesion, lesions: list[Lesion], choices: DatasetSettings
) -> PlannedImage:
    """A mask lacking one of its lesions would call that lesion background: all of them, or no mask. A crop has none:
    where it lies in its mammogram is not recorded."""
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
        lesions=tuple(_lesion_mask(lesion) for lesion in lesions) if has_masks else (),
    )


def _lesion_mask(lesion: Lesion) -> LesionMask:
    return LesionMask(
        subject=format_lesion_subject(lesion),
        file=Path(lesion["mask_file"]),
        sop_uid=lesion["mask_sop"],
        size=lesion["mask_bytes"],
        pixel_class=encode_mask_class(lesion["kind"], lesion["pathology"]),
    )
