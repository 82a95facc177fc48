"""From a catalog to the plan of a dataset: which image stands where and why another does not. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tfm.core.errors import DataError, SettingsError
from tfm.data import split as splitting
from tfm.data.catalog import Catalog, lesion_subject
from tfm.data.dataset import LABELS, MANIFEST_COLUMNS, image_file, manifest_text, mask_file
from tfm.data.download import is_jpeg
from tfm.data.findings import Finding, in_order
from tfm.data.images import Lesion, by_lesion, by_view, crops, unite

_ROLE = {"full": "image", "crops": "crop"}
_WHAT = {"image": "mammograms", "crop": "crops"}
_MALIGNANT_CLASS = {"mass": 2, "calc": 3}  # in dataset.MASK_CLASSES; every benign lesion is 1


@dataclass(frozen=True, slots=True)
class LesionMask:
    subject: str
    file: Path
    sop_uid: str
    size: int  # bytes
    pixel_class: int  # in dataset.MASK_CLASSES


@dataclass(frozen=True, slots=True)
class Placement:
    image_id: str
    source: Path
    size: int  # bytes
    file: str  # relative to the dataset, as in its manifest
    mask: str
    rows: int
    columns: int
    lesions: tuple[LesionMask, ...]  # of every lesion of the image, or none


@dataclass(frozen=True)
class Arrangement:
    manifest: pd.DataFrame
    placements: list[Placement]  # in the manifest's order
    findings: list[Finding]
    protocol: str
    settings: dict[str, Any]

    @property
    def key(self) -> str:
        """Changes with anything a file of the dataset is made of; not with where the download lies."""
        made_of = [
            (place.size, place.rows, place.columns, [(m.sop_uid, m.size, m.pixel_class) for m in place.lesions])
            for place in self.placements
        ]
        return hashlib.sha256((manifest_text(self.manifest) + json.dumps(made_of)).encode()).hexdigest()

    def without(self, bad: Mapping[str, Finding]) -> Arrangement:
        """What stands once some files of the dataset turned out to be impossible: an image goes, a mask is missed."""
        manifest = self.manifest[~self.manifest["file"].isin(bad)].reset_index(drop=True)
        manifest["mask"] = manifest["mask"].mask(manifest["mask"].isin(bad), "")
        kept = [place for place in self.placements if place.file not in bad]
        findings = in_order([*self.findings, *bad.values()])
        return replace(self, manifest=manifest, placements=kept, findings=findings)


@dataclass(frozen=True)
class Choices:
    """What a person decides about a dataset, with `lesions` already chosen by the cases that were joined."""

    images: Literal["full", "crops"]
    split: Literal["official", "random", "kfold"]
    without_callback: Literal["benign", "left out"]
    val_share: float
    seed: int
    as_png: bool


def arrange(catalog: Catalog, choices: Choices) -> Arrangement:
    role = _ROLE[choices.images]
    images, noticed = unite(catalog.lesions) if role == "image" else crops(catalog.lesions)
    groups = by_view(catalog.lesions) if role == "image" else by_lesion(catalog.lesions)
    sources = {name: _source(lesions, role) for name, lesions in groups.items()}
    present = images["image_id"].map(lambda name: sources[name][f"{role}_file"] != "")
    if not present.any():
        raise DataError(
            f"none of the {_WHAT[role]} the CSVs name is in the download",
            hint=f"check that the folder holds {_WHAT[role]}, and that the CSVs belong to it",
        )
    if choices.split != "random" and not catalog.has_test(role):
        raise SettingsError(
            "nothing of the official test is here: the split cannot be TCIA's",
            hint="add the test CSVs and their mammograms, or choose --split random",
            fields=("split",),
        )
    wanted = images["callback"] | (choices.without_callback == "benign")
    images["fold"], images["split"] = _divide(images, present & wanted, choices)
    reasons = _why_left_out(images, present, wanted)
    kept = images[reasons == ""].reset_index(drop=True)
    placements = [
        _placement(row, sources[row["image_id"]], groups[row["image_id"]], choices) for row in kept.to_dict("records")
    ]
    manifest = kept.assign(
        file=[place.file for place in placements],
        mask=[place.mask for place in placements],
        sop_uid=[sources[name][f"{role}_sop"] for name in kept["image_id"]],
    )
    findings = [*catalog.findings, *noticed, *_other_issue_used(sources, groups)]
    findings += [Finding("left-out", name, why) for name, why in zip(images["image_id"], reasons, strict=True) if why]
    findings += _thin(kept)
    settings = {"lesions": "+".join(sorted(set(catalog.lesions["kind"])))} | asdict(choices)
    lost = int(((images["split"] == "test") & wanted & ~present).sum())
    protocol = _protocol(catalog, choices, kept, lost)
    return Arrangement(manifest[list(MANIFEST_COLUMNS)], placements, in_order(findings), protocol, settings)


def _divide(images: pd.DataFrame, usable: pd.Series, choices: Choices) -> tuple[Any, pd.Series]:
    """The fold (none but with kfold) and the split of each image."""
    if choices.split == "kfold":
        fold = splitting.folds(images, present=usable, seed=choices.seed)
        return fold, splitting.split_of_fold(fold, 1)
    divide = splitting.official if choices.split == "official" else splitting.random
    return pd.NA, divide(images, present=usable, val_share=choices.val_share, seed=choices.seed)


def _thin(kept: pd.DataFrame) -> list[Finding]:
    standing = set(zip(kept["split"], kept["label"], strict=True))
    return [
        Finding("thin", split, f"no {label} image")
        for split in splitting.SPLITS
        for label in LABELS
        if (split, label) not in standing
    ]


def _source(lesions: list[Lesion], role: str) -> Lesion:
    """The first issue of the scan that has a whole file: twins hold the same pixels."""
    return next((lesion for lesion in lesions if lesion[f"{role}_file"]), lesions[0])


def _other_issue_used(sources: dict[str, Lesion], groups: dict[str, list[Lesion]]) -> list[Finding]:
    return [
        Finding("repaired", name, f"the file of the {source['kind']} {source['split']} issue stands for the scan")
        for name, source in sources.items()
        if (source["kind"], source["split"]) != (groups[name][0]["kind"], groups[name][0]["split"])
    ]


def _why_left_out(images: pd.DataFrame, present: pd.Series, wanted: pd.Series) -> pd.Series:
    """A reason for each image that stays out, "" for the others."""
    reasons = images["split"].map(lambda split: "" if split else "a train image of a woman who is in the official test")
    reasons = reasons.mask(~wanted, "benign without callback, left out by choice")
    return reasons.mask(~present, "no whole file")


def _placement(image: dict[Hashable, Any], source: Lesion, lesions: list[Lesion], choices: Choices) -> Placement:
    """A mask lacking one of its lesions would call that lesion background: all of them, or no mask. A crop has none:
    where it lies in its mammogram is not recorded."""
    role = _ROLE[choices.images]
    path = Path(source[f"{role}_file"])
    has_masks = role == "image" and all(lesion["mask_file"] for lesion in lesions)
    ending = ".png" if choices.as_png else path.suffix.lower()
    return Placement(
        image_id=image["image_id"],
        source=path,
        size=source[f"{role}_bytes"],
        file=image_file(image["split"], image["label"], image["image_id"], ending),
        mask=mask_file(image["image_id"]) if has_masks else "",
        rows=source[f"{role}_rows"],
        columns=source[f"{role}_columns"],
        lesions=tuple(_lesion_mask(lesion) for lesion in lesions) if has_masks else (),
    )


def _lesion_mask(lesion: Lesion) -> LesionMask:
    return LesionMask(
        subject=lesion_subject(lesion),
        file=Path(lesion["mask_file"]),
        sop_uid=lesion["mask_sop"],
        size=lesion["mask_bytes"],
        pixel_class=_MALIGNANT_CLASS[lesion["kind"]] if lesion["pathology"] == "MALIGNANT" else 1,
    )


def _protocol(catalog: Catalog, choices: Choices, kept: pd.DataFrame, lost: int) -> str:
    """What a figure measured on the test split must say about it. `lost`: test images that the download lacks."""
    kinds = [kind for kind in _MALIGNANT_CLASS if kept["kind"].str.contains(kind).any()]
    tested = int((kept["split"] == "test").sum())
    seeded = f"(seed {choices.seed})"
    of_folds = f"official test, {splitting.fold_in_words(1)} {seeded}"
    changed = int((kept["relabelled"] & (kept["split"] == "test")).sum())
    files = catalog.lesions[f"{_ROLE[choices.images]}_file"]
    parts = [
        "phantoms" if catalog.synthetic else "",
        {"official": "official", "random": f"random {seeded}", "kfold": of_folds}[choices.split],
        "+".join(kinds),
        "crops" if choices.images == "crops" else "",
        f"union labels ({changed} changed)" if len(kinds) > 1 and choices.images == "full" else "",
        "without-callback left out" if choices.without_callback == "left out" else "",
        "8-bit JPEG" if files.map(is_jpeg).any() else "",
        f"{tested} of {tested + lost} test images" if lost and choices.split != "random" else "",
    ]
    return ", ".join(filter(None, parts))
