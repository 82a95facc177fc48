"""Who is in train, val and test: pure functions of the image table, by woman. No file is read or written."""

from __future__ import annotations

import hashlib

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.randomness import seed_at

SPLITS = ("train", "val", "test")
RANDOM_TEST_SHARE = 0.15
_TELL_US = "do not train on this dataset: run organize again from the download and the official CSVs"


def official(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """TCIA's test, sealed; `val_share` of the train women for validation; "" for train images of test women.

    Who is a test woman is read from all images, so that a file missing from the download moves nobody;
    the validation is drawn from the women with a file `present`.
    """
    sealed = images["official"] == "test"
    if not (sealed & present).any():
        raise DataError(
            "nothing of the official test is here: the split cannot be TCIA's",
            hint="add the test CSVs and their mammograms, or choose --split random",
        )
    test_women = set(images.loc[sealed, "patient_id"])
    free = ~images["patient_id"].isin(test_women)
    split = images["patient_id"].map(_deal(images[free & present], {"val": val_share}, seed)).fillna("")
    return split.mask(sealed, "test")


def random(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """Every woman drawn anew, 15 % of them for test and `val_share` for validation; TCIA's split is not looked at."""
    shares = {"test": RANDOM_TEST_SHARE, "val": val_share}
    return images["patient_id"].map(_deal(images[present], shares, seed)).fillna("")


def _deal(images: pd.DataFrame, shares: dict[str, float], seed: int) -> dict[str, str]:
    """Each woman's split, her label kept in proportion. Her place in the draw hangs on her name and the seed only:
    neither the order of rows nor who else is in the table changes it."""
    malignant = images["label"].eq("malignant").groupby(images["patient_id"]).any()
    dealt: dict[str, str] = {}
    for label in (False, True):
        women = sorted(malignant.index[malignant == label], key=lambda woman: seed_at(seed, "split", woman))
        if len(women) <= len(shares):
            raise DataError(
                f"only {len(women)} women {'with' if label else 'without'} a malignant lesion to divide into "
                f"{' and '.join(['train', *shares])}",
                hint="give a larger part of the download: each split needs women of both labels",
            )
        dealt |= dict.fromkeys(women, "train")
        start = 0
        for split, share in shares.items():
            count = max(1, round(share * len(women)))
            dealt |= dict.fromkeys(women[start : start + count], split)
            start += count
    return dealt


def prove_no_leak(manifest: pd.DataFrame) -> None:
    """Raises unless every woman, every mammogram file and every image stands in exactly one split."""
    women = manifest["patient_id"].str.extract(r"(P_\d+)")[0].fillna(manifest["patient_id"])
    for what, owner in (("patient", women), ("file", manifest["sop_uid"]), ("image", manifest["image_id"])):
        splits = manifest["split"].groupby(owner).nunique()
        leaks = list(splits.index[splits > 1])
        if leaks:
            raise DataError(
                f"{len(leaks)} {what}(s) in more than one split: {', '.join(map(str, leaks[:5]))}", hint=_TELL_US
            )


def split_hash(manifest: pd.DataFrame) -> str:
    """The same for two datasets that put the same images into the same splits, wherever their files lie."""
    lines = sorted(f"{image} {split}\n" for image, split in zip(manifest["image_id"], manifest["split"], strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
