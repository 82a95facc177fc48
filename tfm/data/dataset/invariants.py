"""Check the invariants of a dataset before it is written, from the collection's own tables, independently of the plan.
A broken invariant stops the run: a dataset that fails its audit must not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.patient_id import normalise_patient_id
from tfm.imaging.read_image import has_at_most_two_values, read_pixels

_SAMPLE = 12  # files of each kind whose pixels are read: a mistake in telling them apart would affect many
_ODD_FILES = 2  # damaged files in the sample prove nothing; those masks are reported when they are written


@dataclass(frozen=True)
class Invariant:
    claim: str
    checked: int
    violations: tuple[str, ...]


def check_invariants(plan: DatasetPlan) -> list[Invariant]:
    invariants = list(_check_each(plan))
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


def _check_each(plan: DatasetPlan) -> Iterator[Invariant]:
    manifest, source = plan.manifest, plan.source
    patients = manifest["patient_id"].map(normalise_patient_id)
    yield _check_one_each("no patient is in two splits", manifest["split"], patients)
    if manifest["fold"].notna().any():
        yield _check_one_each("no patient is in two folds", manifest["fold"], patients)
    first_of = {scan: scans[0] for scans in plan.same_patients.identical for scan in scans}
    scans = plan.images["scan"].replace(first_of)
    yield _check_one_each("no mammogram, and none with the same pixels, is in two splits", manifest["split"], scans)
    yield _check_one_each("no file is used for two images", manifest["image_id"], manifest["sop_uid"])
    if plan.choices.split != "random":
        tested = {plan.same_patients.patient_of.get(patient) for patient in source.list_test_patients()}
        yield _build_invariant(
            source.claim_of_test,
            manifest["image_id"],
            patients.isin(tested) & (manifest["split"] != "test"),
        )
    yield _build_invariant(
        source.claim_of_labels,
        manifest["image_id"],
        (manifest["label"] == "malignant") != manifest["image_id"].isin(source.list_malignant_images()),
    )
    expected, kept = source.list_images(), set(manifest["image_id"])
    out = {found.subject for found in plan.notices if found.kind == "left-out"}
    odd = (expected ^ (kept | out)) | (kept & out)
    yield Invariant(source.claim_of_images, len(expected), tuple(sorted(odd)))
    yield from _check_pixels(source.list_lesion_files())


def _check_one_each(claim: str, what: pd.Series, of: pd.Series) -> Invariant:
    counts = what.groupby(of).nunique()
    return _build_invariant(claim, counts.index, counts > 1)


def _check_pixels(lesion_files: dict[str, set[str]]) -> Iterator[Invariant]:
    """Check a sample of masks and crops by their pixels. Headers told them apart."""
    claims = {
        "mask": ("masks have two grey values (most of a sample)", True),
        "crop": ("crops have many grey values (most of a sample)", False),
    }
    for role, found in lesion_files.items():
        claim, is_mask = claims[role]
        files = sorted(found)
        sample = files[:: -(-len(files) // _SAMPLE) or 1]
        checked = {file: two for file in sample if (two := _is_binary(file)) is not None}
        wrong = [file for file, two in checked.items() if two != is_mask]
        yield Invariant(claim, len(checked), tuple(wrong) if len(wrong) > max(_ODD_FILES, len(checked) // 2) else ())


def _is_binary(file: str) -> bool | None:
    """Return None if the pixels cannot be read; that is reported when they are needed."""
    try:
        return has_at_most_two_values(read_pixels(Path(file)))
    except DataError:
        return None


def _build_invariant(claim: str, subjects: Iterable[object], violated: pd.Series) -> Invariant:
    names = list(map(str, subjects))
    return Invariant(claim, len(names), tuple(name for name, bad in zip(names, violated, strict=True) if bad))
