"""Check the invariants of a dataset before it is written, from the cases and files, independently of the plan.
A broken invariant stops the run: a dataset that fails its audit must not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.lesions_to_images import VIEW_KEY
from tfm.data.download.match_files import Catalog
from tfm.data.patient_id import normalise_patient_id
from tfm.imaging.read_image import has_at_most_two_values, read_pixels

_SAMPLE = 12  # files of each kind whose pixels are read: a mistake in telling them apart would affect many


@dataclass(frozen=True)
class Invariant:
    claim: str
    checked: int
    violations: tuple[str, ...]


def check_invariants(catalog: Catalog, plan: DatasetPlan) -> list[Invariant]:
    invariants = list(_check_each(catalog, plan))
    broken = [invariant for invariant in invariants if invariant.violations]
    if broken:
        violated = "\n".join(
            f"violated: {one.claim} ({len(one.violations)} of {one.checked}: {', '.join(one.violations[:5])})"
            for one in broken
        )
        raise DataError(
            f"the audit failed, and nothing was written:\n{violated}",
            hint="this is a defect of the program, not of the download: please report it with this message",
        )
    return invariants


def _check_each(catalog: Catalog, plan: DatasetPlan) -> Iterator[Invariant]:
    manifest, lesions = plan.manifest, catalog.lesions
    patients = manifest["patient_id"].map(normalise_patient_id)
    yield _check_one_each("no patient is in two splits", manifest["split"], patients)
    if manifest["fold"].notna().any():
        yield _check_one_each("no patient is in two folds", manifest["fold"], patients)
    first_of = {scan: scans[0] for scans in plan.same_patients.identical for scan in scans}
    scans = plan.images["scan"].replace(first_of)
    yield _check_one_each("no mammogram, and none with the same pixels, is in two splits", manifest["split"], scans)
    yield _check_one_each("no file is used for two images", manifest["image_id"], manifest["sop_uid"])
    if plan.choices.split != "random":
        tested = set(lesions.loc[lesions["split"] == "test", "patient_id"].map(plan.same_patients.patient_of))
        yield _build_invariant(
            "no patient of TCIA's test set is in train or val",
            manifest["image_id"],
            patients.isin(tested) & (manifest["split"] != "test"),
        )
    malignant = set(_name_images(lesions[lesions["pathology"] == "MALIGNANT"], plan))
    yield _build_invariant(
        "an image is malignant exactly if one of its lesions is",
        manifest["image_id"],
        (manifest["label"] == "malignant") != manifest["image_id"].isin(malignant),
    )
    expected, kept = set(_name_images(lesions, plan)), set(manifest["image_id"])
    out = {found.subject for found in plan.notices if found.kind == "left-out"}
    odd = (expected ^ (kept | out)) | (kept & out)
    yield Invariant("every image of the CSVs is in the dataset or left out by name", len(expected), tuple(sorted(odd)))
    yield from _check_pixels(lesions)


def _check_one_each(claim: str, what: pd.Series, of: pd.Series) -> Invariant:
    counts = what.groupby(of).nunique()
    return _build_invariant(claim, counts.index, counts > 1)


def _name_images(lesions: pd.DataFrame, plan: DatasetPlan) -> pd.Series:
    """Return the image_id of each lesion."""
    scan = lesions[VIEW_KEY].agg("_".join, axis=1)
    if plan.choices.images == "full":
        return scan
    return scan + "_" + lesions["kind"] + "_" + lesions["lesion_id"].astype(str)


def _check_pixels(lesions: pd.DataFrame) -> Iterator[Invariant]:
    """Check a sample of masks and crops by their pixels. The catalog tells them apart by their headers."""
    for role, claim, is_mask in (
        ("mask", "a mask has two grey values (seen in a sample)", True),
        ("crop", "a crop has many grey values (seen in a sample)", False),
    ):
        files = sorted(set(lesions[f"{role}_file"]) - {""})
        sample = files[:: -(-len(files) // _SAMPLE) or 1]
        checked = {file: two for file in sample if (two := _is_binary(file)) is not None}
        yield _build_invariant(claim, checked, pd.Series([two != is_mask for two in checked.values()], dtype=bool))


def _is_binary(file: str) -> bool | None:
    """Return None if the pixels cannot be read; that is reported when they are needed."""
    try:
        return has_at_most_two_values(read_pixels(Path(file)))
    except DataError:
        return None


def _build_invariant(claim: str, subjects: Iterable[object], violated: pd.Series) -> Invariant:
    names = list(map(str, subjects))
    return Invariant(claim, len(names), tuple(name for name, bad in zip(names, violated, strict=True) if bad))
