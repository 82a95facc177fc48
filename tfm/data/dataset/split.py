"""Who is in train, val and test: pure functions of the image table, by woman. No file is read or written."""

from __future__ import annotations

import hashlib

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.randomness import seed_at

SPLITS = ("train", "val", "test")
RANDOM_TEST_SHARE = 0.15
FOLDS = 5
_TELL_US = "do not train on this dataset: run organize again from the download and the official CSVs"


def split_officially(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """TCIA's test, sealed; `val_share` of the train women for validation; "" for train images of test women.

    Who is a test woman is read from all images, so that a file missing from the download moves nobody;
    the validation is drawn from the women with a file `present`.
    """
    sealed, free = _sealed_and_free(images)
    dealt = _deal(images[free & present], {"val": val_share}, seed)
    return images["patient_id"].map(lambda woman: dealt.get(woman, "")).mask(sealed, "test")


def split_randomly(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """Every woman drawn anew, 15 % of them for test and `val_share` for validation; TCIA's split is not looked at."""
    dealt = _deal(images[present], {"test": RANDOM_TEST_SHARE, "val": val_share}, seed)
    return images["patient_id"].map(lambda woman: dealt.get(woman, ""))


def split_into_folds(images: pd.DataFrame, *, present: pd.Series, seed: int) -> pd.Series:
    """1 to FOLDS for the train women; TCIA's test, sealed, is 0; <NA> for train images of test women."""
    sealed, free = _sealed_and_free(images)
    benign, malignant = _drawn(images[free & present], seed)
    dealt = {woman: place % FOLDS + 1 for place, woman in enumerate([*benign, *malignant])}
    return images["patient_id"].map(dealt).astype("Int64").mask(sealed, 0)


def select_validation_fold(fold: pd.Series, number: int) -> pd.Series:
    """Fold `number` validates, the others train."""
    split = pd.Series("train", index=fold.index).mask(fold == number, "val").mask(fold == 0, "test")
    return split.mask(fold.isna(), "")


def describe_fold(number: int) -> str:
    """In a protocol."""
    return f"fold {number} of {FOLDS}"


def _sealed_and_free(images: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The images of TCIA's test, and those of women who are in no part of it."""
    sealed = images["official"] == "test"
    return sealed, ~images["patient_id"].isin(set(images.loc[sealed, "patient_id"]))


def _drawn(images: pd.DataFrame, seed: int) -> tuple[list[str], list[str]]:
    """The women without and with a malignant lesion, each in the order of the draw. A woman's place hangs on her name
    and the seed only: neither the order of rows nor who else is in the table changes it."""
    malignant = images["label"].eq("malignant").groupby(images["patient_id"]).any()
    in_order = sorted(malignant.index, key=lambda woman: seed_at(seed, "split", woman))
    return [woman for woman in in_order if not malignant[woman]], [woman for woman in in_order if malignant[woman]]


def _deal(images: pd.DataFrame, shares: dict[str, float], seed: int) -> dict[str, str]:
    """Each woman's split, her label kept in proportion. Of few women the first is for train."""
    dealt: dict[str, str] = {}
    for women in _drawn(images, seed):
        dealt |= dict.fromkeys(women, "train")
        start = 0
        for split, share in shares.items():
            count = min(max(1, round(share * len(women))), len(women) - start - 1)
            dealt |= dict.fromkeys(women[start : start + max(0, count)], split)
            start += max(0, count)
    return dealt


def refuse_leaks(manifest: pd.DataFrame) -> None:
    """Raises unless every woman, every mammogram file and every image stands in exactly one split."""
    women = manifest["patient_id"].str.extract(r"(P_\d+)")[0].fillna(manifest["patient_id"])
    for what, owner in (("patient", women), ("file", manifest["sop_uid"]), ("image", manifest["image_id"])):
        splits = manifest["split"].groupby(owner).nunique()
        leaks = list(splits.index[splits > 1])
        if leaks:
            raise DataError(
                f"{len(leaks)} {what}(s) in more than one split: {', '.join(map(str, leaks[:5]))}", hint=_TELL_US
            )


def hash_split(manifest: pd.DataFrame) -> str:
    """The same for two datasets that put the same images into the same splits, wherever their files lie."""
    lines = sorted(f"{image} {split}\n" for image, split in zip(manifest["image_id"], manifest["split"], strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
