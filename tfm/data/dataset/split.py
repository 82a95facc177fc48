"""Assign patients to train, val and test: pure functions of the image table. No file is read or written."""

from __future__ import annotations

import hashlib

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.randomness import seed_at
from tfm.data.patient_id import normalise_patient_id

SPLITS = ("train", "val", "test")
RANDOM_TEST_SHARE = 0.15
FOLDS = 5
_REORGANIZE = "do not train on this dataset: run organize again from the download and the official CSVs"


def split_officially(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """Keep the published test set, draw `val_share` of the other patients for val; "" for images in neither.

    Test patients are found in all images, so a file missing from the download moves no patient; val is drawn from
    the patients with a file `present`.
    """
    test, free = _find_test_and_free(images)
    if (images["official"] == "val").any():  # published too
        return images["official"].where(test | free, "")
    assigned = _assign_shares(images[free & present], {"val": val_share}, seed)
    return images["patient_id"].map(lambda patient: assigned.get(patient, "")).mask(test, "test")


def split_randomly(images: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """Ignore the published split: draw 15 % of the patients for test and `val_share` for val."""
    assigned = _assign_shares(images[present], {"test": RANDOM_TEST_SHARE, "val": val_share}, seed)
    return images["patient_id"].map(lambda patient: assigned.get(patient, ""))


def split_into_folds(images: pd.DataFrame, *, present: pd.Series, seed: int) -> pd.Series:
    """Return 1 to FOLDS for training patients, 0 for the published test set, <NA> for images in neither."""
    test, free = _find_test_and_free(images)
    benign, malignant = _draw_patients(images[free & present], seed)
    assigned = {patient: place % FOLDS + 1 for place, patient in enumerate([*benign, *malignant])}
    return images["patient_id"].map(assigned).astype("Int64").mask(test, 0)


def select_validation_fold(fold: pd.Series, number: int) -> pd.Series:
    """Make fold `number` val and the others train."""
    split = pd.Series("train", index=fold.index).mask(fold == number, "val").mask(fold == 0, "test")
    return split.mask(fold.isna(), "")


def describe_fold(number: int) -> str:
    return f"fold {number} of {FOLDS}"


def _find_test_and_free(images: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Find the images of the published test set, and those of patients without any image in it."""
    test = images["official"] == "test"
    return test, ~images["patient_id"].isin(set(images.loc[test, "patient_id"]))


def _draw_patients(images: pd.DataFrame, seed: int) -> tuple[list[str], list[str]]:
    """Return the patients without and with a malignant lesion, in random order.

    A patient's rank depends on the patient's name and the seed only, not on the order of rows or on other patients.
    """
    malignant = images["label"].eq("malignant").groupby(images["patient_id"]).any()
    in_order = sorted(malignant.index, key=lambda patient: seed_at(seed, "split", patient))
    with_malignant = [patient for patient in in_order if malignant[patient]]
    return [patient for patient in in_order if not malignant[patient]], with_malignant


def _assign_shares(images: pd.DataFrame, shares: dict[str, float], seed: int) -> dict[str, str]:
    """Assign a split to each patient, stratified by label. The first patient of each label is in train."""
    assigned: dict[str, str] = {}
    for patients in _draw_patients(images, seed):
        assigned |= dict.fromkeys(patients, "train")
        start = 0
        for split, share in shares.items():
            count = min(max(1, round(share * len(patients))), len(patients) - start - 1)
            assigned |= dict.fromkeys(patients[start : start + max(0, count)], split)
            start += max(0, count)
    return assigned


def refuse_leaks(manifest: pd.DataFrame) -> None:
    """Raise unless each patient, each mammogram file and each image is in exactly one split."""
    owners = (
        ("patient", manifest["patient_id"].map(normalise_patient_id)),
        ("patient", manifest["image_id"].map(normalise_patient_id)),  # differs from patient_id in a merged patient
        ("file", manifest["sop_uid"]),
        ("image", manifest["image_id"]),
    )
    for what, owner in owners:
        splits = manifest["split"].groupby(owner).nunique()
        leaks = list(splits.index[splits > 1])
        if leaks:
            raise DataError(
                f"{len(leaks)} {what}(s) in more than one split: {', '.join(map(str, leaks[:5]))}", hint=_REORGANIZE
            )


def hash_split(manifest: pd.DataFrame) -> str:
    """Hash which image is in which split. The location of the files has no effect."""
    lines = sorted(f"{image} {split}\n" for image, split in zip(manifest["image_id"], manifest["split"], strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
