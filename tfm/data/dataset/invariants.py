"""What is proven of a dataset before it is written: from the cases and files again, by other ways than it was made.

A proof that does not hold stops everything: a dataset that fails its audit must not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.image_table import VIEW_KEY
from tfm.data.download.catalog import Catalog
from tfm.imaging.read_image import has_at_most_two_values, read_pixels

_SAMPLE = 12  # files of a kind whose pixels are looked at: a mistake in telling them apart is no single case


@dataclass(frozen=True)
class Invariant:
    claim: str
    checked: int
    against: tuple[str, ...]  # what contradicts the claim


def check_invariants(catalog: Catalog, plan: DatasetPlan) -> list[Invariant]:
    proofs = list(_proofs(catalog, plan))
    broken = [proof for proof in proofs if proof.against]
    if broken:
        told = "\n".join(
            f"not so: {proof.claim} ({len(proof.against)} of {proof.checked}: {', '.join(proof.against[:5])})"
            for proof in broken
        )
        raise DataError(
            f"the audit failed, and nothing was written:\n{told}",
            hint="this is a defect of the program, not of the download: please report it with this text",
        )
    return proofs


def _proofs(catalog: Catalog, plan: DatasetPlan) -> Iterator[Invariant]:
    manifest, lesions = plan.manifest, catalog.lesions
    women = manifest["patient_id"].str.extract(r"(P_\d+)")[0]
    yield _one_each("no woman is in two splits", manifest["split"], women)
    if manifest["fold"].notna().any():
        yield _one_each("no woman is in two folds", manifest["fold"], women)
    yield _one_each("no file stands for two images", manifest["image_id"], manifest["sop_uid"])
    if plan.choices.split != "random":
        tested = set(lesions.loc[lesions["split"] == "test", "patient_id"])
        yield _proof(
            "no woman of TCIA's test is trained or validated on",
            manifest["image_id"],
            women.isin(tested) & (manifest["split"] != "test"),
        )
    truly = set(_named(lesions[lesions["pathology"] == "MALIGNANT"], plan))
    yield _proof(
        "an image is malignant exactly if one of its lesions is",
        manifest["image_id"],
        (manifest["label"] == "malignant") != manifest["image_id"].isin(truly),
    )
    yield _accounted(lesions, plan)
    yield from _seen(lesions)


def _one_each(claim: str, what: pd.Series, of: pd.Series) -> Invariant:
    counts = what.groupby(of).nunique()
    return _proof(claim, counts.index, counts > 1)


def _named(lesions: pd.DataFrame, plan: DatasetPlan) -> pd.Series:
    """The image that shows each lesion."""
    scan = lesions[VIEW_KEY].agg("_".join, axis=1)
    if plan.choices.images == "full":
        return scan
    return scan + "_" + lesions["kind"] + "_" + lesions["lesion_id"].astype(str)


def _accounted(lesions: pd.DataFrame, plan: DatasetPlan) -> Invariant:
    promised, kept = set(_named(lesions, plan)), set(plan.manifest["image_id"])
    out = {found.subject for found in plan.notices if found.kind == "left-out"}
    odd = (promised ^ (kept | out)) | (kept & out)
    return Invariant("every image of the CSVs is in the dataset or left out by name", len(promised), tuple(sorted(odd)))


def _seen(lesions: pd.DataFrame) -> Iterator[Invariant]:
    """Masks were told from crops by headers: here their pixels are asked."""
    for role, claim, is_mask in (
        ("mask", "a mask has two grey values (seen in a sample)", True),
        ("crop", "a crop has many grey values (seen in a sample)", False),
    ):
        files = sorted(set(lesions[f"{role}_file"]) - {""})
        sample = files[:: -(-len(files) // _SAMPLE) or 1]
        looked = {file: two for file in sample if (two := _two_values(file)) is not None}
        yield _proof(claim, looked, pd.Series([two != is_mask for two in looked.values()], dtype=bool))


def _two_values(file: str) -> bool | None:
    """None where its pixels cannot be read, which is told when they are needed."""
    try:
        return has_at_most_two_values(read_pixels(Path(file)))
    except DataError:
        return None


def _proof(claim: str, subjects: Iterable[object], against: pd.Series) -> Invariant:
    named = list(map(str, subjects))
    return Invariant(
        claim, len(named), tuple(name for name, is_against in zip(named, against, strict=True) if is_against)
    )
