"""Count the patients, images and lesions of the case CSVs, for comparison with the published numbers.
Some keys say "women", as audit.json of older datasets does."""

from __future__ import annotations

from itertools import product
from typing import Any

import pandas as pd

from tfm.data.dataset.lesions_to_images import VIEW_KEY
from tfm.data.sources.cbis_ddsm import IMAGE_KEY, PATHOLOGIES

_BREAST = ["patient_id", "side"]
_SCALES = ("density", "assessment", "subtlety")
_KINDS = {"mass": "masses", "calc": "calcifications"}
_DESCRIBES = {"shape": "mass", "margins": "mass", "calc_type": "calc", "distribution": "calc"}

Counts = dict[str, int]


def summarize_cases(cases: pd.DataFrame) -> dict[str, Any]:
    """Return groups of counts, each under its heading in the audit. `cases` comes from cbis_ddsm.read_cases."""
    lesions = cases.assign(malignant=cases["pathology"] == "MALIGNANT")
    images = _group_images(lesions)
    kinds = [kind for kind in _KINDS if (lesions["kind"] == kind).any()]
    return {
        "case CSVs": _count_by_csv(lesions, images),
        "women": _count_patients(lesions, kinds),
        "images": {
            "with several lesions": int((images["lesions"] > 1).sum()),
            "most lesions of one": int(images["lesions"].max()),
            "with benign and malignant lesions": int((images["malignant"] & ~images["all_malignant"]).sum()),
            "with lesions not numbered 1 to n": int((~images["numbered"]).sum()),
        },
        "women in train and test": _count_patients_in_both_splits(lesions, images, kinds),
        "scans issued twice": _count_repeated_scans(images),
        "breasts": _count_breasts(lesions, kinds),
        "values": _count_values(lesions, kinds),
        "scans, each once": _count_merged_scans(images),
        **_count_series_and_files(lesions),
    }


def _group_images(lesions: pd.DataFrame) -> pd.DataFrame:
    """Return a row per image. It is malignant if any of its lesions is."""
    images = lesions.groupby(IMAGE_KEY, as_index=False).agg(
        lesions=("lesion_id", "size"),
        first_id=("lesion_id", "min"),
        last_id=("lesion_id", "max"),
        malignant=("malignant", "any"),
        all_malignant=("malignant", "all"),
    )
    # Lesion ids are unique in an image, so n ids from 1 to n include every number between.
    images["numbered"] = (images["first_id"] == 1) & (images["last_id"] == images["lesions"])
    return images


def _count_by_csv(lesions: pd.DataFrame, images: pd.DataFrame) -> dict[str, Counts]:
    counts = {}
    for kind, split in product(_KINDS, ("train", "test")):
        of_csv, of_images = (rows[(rows["kind"] == kind) & (rows["split"] == split)] for rows in (lesions, images))
        if len(of_csv):
            counts[f"{kind} {split}"] = _count_csv(of_csv, of_images)
    return counts | {"all": _count_csv(lesions, images)}


def _count_csv(lesions: pd.DataFrame, images: pd.DataFrame) -> Counts:
    return {
        "lesions": len(lesions),
        "images": len(images),
        "women": lesions["patient_id"].nunique(),
        **{name.lower().replace("_", " "): int((lesions["pathology"] == name).sum()) for name in PATHOLOGIES},
        "malignant images": int(images["malignant"].sum()),
        "benign images": int((~images["malignant"]).sum()),
    }


def _count_patients(lesions: pd.DataFrame, kinds: list[str]) -> Counts:
    breasts = _find_both_labels(lesions, _BREAST)
    return {
        "all": lesions["patient_id"].nunique(),
        **{f"with {_KINDS[kind]}": lesions.loc[lesions["kind"] == kind, "patient_id"].nunique() for kind in kinds},
        "with masses and calcifications": len(_find_patients_with_several(lesions, "kind")),
        "with benign and malignant lesions": len(_find_both_labels(lesions, ["patient_id"])),
        "with benign and malignant lesions in one breast": breasts["patient_id"].nunique(),
    }


def _find_both_labels(lesions: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return a row for each key that has benign and malignant lesions."""
    found = lesions.groupby(key, as_index=False).agg(labels=("malignant", "nunique"))
    return found[found["labels"] > 1]


def _find_patients_with_several(rows: pd.DataFrame, column: str) -> pd.Index[str]:
    different = rows.groupby("patient_id")[column].nunique()
    return different.index[different > 1]


def _count_patients_in_both_splits(lesions: pd.DataFrame, images: pd.DataFrame, kinds: list[str]) -> Counts:
    patients = _find_patients_with_several(lesions, "split")
    theirs = lesions[lesions["patient_id"].isin(patients)]
    their_images = images[images["patient_id"].isin(patients)]
    of_kind = {kind: lesions[lesions["kind"] == kind] for kind in kinds}
    return {
        **{f"within {_KINDS[kind]}": len(_find_patients_with_several(rows, "split")) for kind, rows in of_kind.items()},
        "among all": len(patients),
        "their lesions": len(theirs),
        "their lesions in test": int((theirs["split"] == "test").sum()),
        "their lesions in train": int((theirs["split"] == "train").sum()),
        "their images in train": int((their_images["split"] == "train").sum()),
    }


def _count_repeated_scans(images: pd.DataFrame) -> Counts:
    scans = images.groupby(VIEW_KEY).agg(
        issues=("split", "size"), splits=("split", "nunique"), labels=("malignant", "nunique")
    )
    twins = scans[scans["issues"] > 1]
    return {
        "scans": len(twins),
        "once in train, once in test": int((twins["splits"] > 1).sum()),
        "with another label each time": int((twins["labels"] > 1).sum()),
    }


def _count_breasts(lesions: pd.DataFrame, kinds: list[str]) -> dict[str, Counts]:
    """Count breasts. One with masses and calcifications counts under both kinds, and once under all."""
    of_kind = {_KINDS[kind]: lesions[lesions["kind"] == kind] for kind in kinds}
    views_of_breasts = {
        name: rows.groupby(_BREAST)["view"].agg(set) for name, rows in (of_kind | {"all": lesions}).items()
    }
    return {
        name: {"breasts": len(of_breast), "with CC and MLO": sum({"CC", "MLO"} <= views for views in of_breast)}
        for name, of_breast in views_of_breasts.items()
    }


def _count_values(lesions: pd.DataFrame, kinds: list[str]) -> dict[str, Counts]:
    """Count zeros and missing values. 0 is outside the scale of density and subtlety; BI-RADS 0 means "incomplete"."""
    counts = {
        name: {"0": int((lesions[name] == 0).sum()), "missing": int(lesions[name].isna().sum())} for name in _SCALES
    }
    for name, kind in _DESCRIBES.items():
        if kind in kinds:
            described = lesions.loc[lesions["kind"] == kind, name]
            counts[name.replace("_", " ")] = {"missing": int((described == "").sum())}
    return counts


def _count_merged_scans(images: pd.DataFrame) -> dict[str, Counts]:
    """Count scans as a dataset has them: duplicates merged, test before train, no patient in both splits."""
    # Test before train, then mass before calc: the first issue represents the scan.
    issues = images.sort_values(["split", "kind"], ascending=[True, False])
    scans = issues.groupby(VIEW_KEY, as_index=False).agg(
        split=("split", "first"), malignant=("malignant", "any"), alone=("malignant", "first")
    )
    in_test = scans["split"] == "test"
    left_out = ~in_test & scans["patient_id"].isin(scans.loc[in_test, "patient_id"])
    return {
        "all": _count_scans(scans),
        "train": _count_scans(scans[~in_test & ~left_out]),
        "test": _count_scans(scans[in_test]),
        "left out, train scans of women in test": _count_scans(scans[left_out]),
    }


def _count_scans(scans: pd.DataFrame) -> Counts:
    return {
        "scans": len(scans),
        "women": scans["patient_id"].nunique(),
        "malignant": int(scans["malignant"].sum()),
        "with the label changed by the other issue": int((scans["malignant"] != scans["alone"]).sum()),
    }


def _count_series_and_files(lesions: pd.DataFrame) -> dict[str, Counts]:
    """Count what the CSVs name. A series has one file for each part."""
    columns = {"full mammogram": "image_series", "crop": "crop_series", "mask": "mask_series"}
    uids = {part: set(lesions[name]) - {""} for part, name in columns.items()}  # a CSV without paths names no series
    image, crop, mask = uids.values()
    together = set(lesions.loc[lesions["crop_series"] == lesions["mask_series"], "mask_series"]) - {""}
    series = {
        "full mammogram": len(image),
        "mask and crop": len(together),
        "crop alone": len(crop - together),
        "mask alone": len(mask - together),
        "all": len(image | crop | mask),
    }
    files = {part: len(known) for part, known in uids.items()}
    return {"series the CSVs name": series, "files the CSVs name": files | {"all": sum(files.values())}}
