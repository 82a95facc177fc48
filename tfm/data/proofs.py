"""What is proven of a dataset before it is written: from the cases and headers again, by other ways than it was made.

A proof that does not hold stops everything: a dataset that fails its audit must not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from tfm.core.errors import DataError
from tfm.data.arrange import Arrangement
from tfm.data.catalog import Catalog
from tfm.data.split import prove_no_leak

_SCAN = ["patient_id", "side", "view"]
_LEAST_SHARE_OF_A_SIDE = 0.5  # TCIA's smallest masks have 0.87 of their mammogram's


@dataclass(frozen=True)
class Proof:
    claim: str
    checked: int
    against: tuple[str, ...]  # what contradicts the claim


def prove(catalog: Catalog, arrangement: Arrangement) -> list[Proof]:
    prove_no_leak(arrangement.manifest)
    proofs = list(_proofs(catalog, arrangement))
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


def _proofs(catalog: Catalog, arrangement: Arrangement) -> Iterator[Proof]:
    manifest, lesions = arrangement.manifest, catalog.lesions
    women = manifest["patient_id"].str.extract(r"(P_\d+)")[0]
    splits = manifest["split"].groupby(women).nunique()
    yield _proof("no woman is in two splits", splits.index, splits > 1)
    if arrangement.settings["split"] != "random":
        tested = set(lesions.loc[lesions["split"] == "test", "patient_id"])
        yield _proof(
            "no woman of TCIA's test is trained or validated on",
            manifest["image_id"],
            women.isin(tested) & (manifest["split"] != "test"),
        )
    truly = set(_named(lesions[lesions["pathology"] == "MALIGNANT"], arrangement))
    yield _proof(
        "an image is malignant exactly if one of its lesions is",
        manifest["image_id"],
        (manifest["label"] == "malignant") != manifest["image_id"].isin(truly),
    )
    masks = lesions[(lesions["mask_file"] != "") & (lesions["image_file"] != "")]
    shares = pd.concat([masks[f"mask_{side}"] / masks[f"image_{side}"] for side in ("rows", "columns")], axis=1)
    yield _proof(
        "no mask has a crop's depth and size",
        masks["mask_file"],
        (masks["mask_bits"] != 8) & (shares.min(axis=1) < _LEAST_SHARE_OF_A_SIDE),
    )
    yield _accounted(lesions, arrangement)


def _named(lesions: pd.DataFrame, arrangement: Arrangement) -> pd.Series:
    """The image that shows each lesion."""
    scan = lesions[_SCAN].agg("_".join, axis=1)
    if arrangement.settings["images"] == "full":
        return scan
    return scan + "_" + lesions["kind"] + "_" + lesions["lesion_id"].astype(str)


def _accounted(lesions: pd.DataFrame, arrangement: Arrangement) -> Proof:
    promised, kept = set(_named(lesions, arrangement)), set(arrangement.manifest["image_id"])
    out = {found.subject for found in arrangement.findings if found.kind == "left-out"}
    odd = (promised ^ (kept | out)) | (kept & out)
    return Proof("every image of the CSVs is in the dataset or left out by name", len(promised), tuple(sorted(odd)))


def _proof(claim: str, subjects: Iterable[object], against: pd.Series) -> Proof:
    named = list(map(str, subjects))
    return Proof(claim, len(named), tuple(name for name, is_against in zip(named, against, strict=True) if is_against))
