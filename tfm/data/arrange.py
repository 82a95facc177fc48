"""From a catalog to the plan of a dataset: which image stands where and why another does not. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tfm.core.errors import DataError
from tfm.data import split as splitting
from tfm.data.catalog import Catalog
from tfm.data.dataset import MANIFEST_COLUMNS, image_file, manifest_text, mask_file
from tfm.data.findings import Finding, in_order
from tfm.data.images import Lesion, by_view, unite

_MALIGNANT_CLASS = {"mass": 2, "calc": 3}  # in dataset.MASK_CLASSES; every benign lesion is 1


@dataclass(frozen=True, slots=True)
class LesionMask:
    file: Path
    sop_uid: str
    size: int  # bytes
    pixel_class: int  # in dataset.MASK_CLASSES


@dataclass(frozen=True, slots=True)
class Placement:
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


def arrange(
    catalog: Catalog,
    *,
    split: Literal["official", "random"],
    without_callback: Literal["benign", "left out"],
    val_share: float,
    seed: int,
) -> Arrangement:
    images, noticed = unite(catalog.lesions)
    views = by_view(catalog.lesions)
    sources = {name: _source(lesions) for name, lesions in views.items()}
    has_file = images["image_id"].map(lambda name: sources[name]["image_file"] != "")
    if not has_file.any():
        raise DataError(
            "none of the mammograms the CSVs name is in the download",
            hint="check that the folder holds full mammogram series, and that the CSVs belong to it",
        )
    wanted = images["callback"] | (without_callback == "benign")
    divide = {"official": splitting.official, "random": splitting.random}[split]
    images["split"] = divide(images, present=has_file & wanted, val_share=val_share, seed=seed)
    reasons = _why_left_out(images, has_file, wanted)
    kept = images[reasons == ""].reset_index(drop=True)
    placements = [_placement(row, sources[row["image_id"]], views[row["image_id"]]) for row in kept.to_dict("records")]
    manifest = kept.assign(
        file=[place.file for place in placements],
        mask=[place.mask for place in placements],
        sop_uid=[sources[name]["image_sop"] for name in kept["image_id"]],
    )
    findings = [*catalog.findings, *noticed, *_other_issue_used(sources, views)]
    findings += [Finding("left-out", name, why) for name, why in zip(images["image_id"], reasons, strict=True) if why]
    lesions = "+".join(sorted(set(catalog.lesions["kind"])))
    settings = {
        "lesions": lesions,
        "split": split,
        "without_callback": without_callback,
        "val_share": val_share,
        "seed": seed,
    }
    return Arrangement(
        manifest[list(MANIFEST_COLUMNS)], placements, in_order(findings), _protocol(catalog, settings, kept), settings
    )


def _source(lesions: list[Lesion]) -> Lesion:
    """The first issue of the scan that has a whole file: twins hold the same pixels."""
    return next((lesion for lesion in lesions if lesion["image_file"]), lesions[0])


def _other_issue_used(sources: dict[str, Lesion], views: dict[str, list[Lesion]]) -> list[Finding]:
    return [
        Finding("repaired", name, f"the file of the {source['kind']} {source['split']} issue stands for the scan")
        for name, source in sources.items()
        if (source["kind"], source["split"]) != (views[name][0]["kind"], views[name][0]["split"])
    ]


def _why_left_out(images: pd.DataFrame, has_file: pd.Series, wanted: pd.Series) -> pd.Series:
    """A reason for each image that stays out, "" for the others."""
    reasons = images["split"].map(lambda split: "" if split else "a train image of a woman who is in the official test")
    reasons = reasons.mask(~wanted, "benign without callback, left out by choice")
    return reasons.mask(~has_file, "no whole mammogram file")


def _placement(image: dict[Hashable, Any], source: Lesion, lesions: list[Lesion]) -> Placement:
    """A mask lacking one of its lesions would call that lesion background: all of them, or no mask."""
    has_masks = all(lesion["mask_file"] for lesion in lesions)
    return Placement(
        source=Path(source["image_file"]),
        size=source["image_bytes"],
        file=image_file(image["split"], image["label"], image["image_id"]),
        mask=mask_file(image["image_id"]) if has_masks else "",
        rows=source["image_rows"],
        columns=source["image_columns"],
        lesions=tuple(_lesion_mask(lesion) for lesion in lesions) if has_masks else (),
    )


def _lesion_mask(lesion: Lesion) -> LesionMask:
    return LesionMask(
        file=Path(lesion["mask_file"]),
        sop_uid=lesion["mask_sop"],
        size=lesion["mask_bytes"],
        pixel_class=_MALIGNANT_CLASS[lesion["kind"]] if lesion["pathology"] == "MALIGNANT" else 1,
    )


def _protocol(catalog: Catalog, settings: dict[str, Any], kept: pd.DataFrame) -> str:
    """What a figure measured on the test split must say about it."""
    kinds = [kind for kind in _MALIGNANT_CLASS if kept["kind"].str.contains(kind).any()]
    parts = [settings["split"] if settings["split"] == "official" else f"random (seed {settings['seed']})"]
    parts.append("+".join(kinds))
    if catalog.synthetic:
        parts.insert(0, "phantoms")
    if len(kinds) > 1:
        changed = int((kept["relabelled"] & (kept["split"] == "test")).sum())
        parts.append(f"union labels ({changed} changed)")
    if settings["without_callback"] == "left out":
        parts.append("without-callback left out")
    return ", ".join(parts)
