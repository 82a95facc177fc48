"""The census of a lesion table: who and what the case CSVs speak of, counted. No file but the CSVs plays a part here,
and nothing is decided: it is what a person compares with the published numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tfm.data.dataset.image_table import VIEW_KEY
from tfm.data.sources.cbis_ddsm import IMAGE_KEY, PATHOLOGIES

_BREAST = ["patient_id", "side"]
_KINDS = {"mass": "masses", "calc": "calcifications"}
_SPLITS = ("train", "test")
_SCALES = ("density", "assessment", "subtlety")
_DESCRIBES = {"shape": "mass", "margins": "mass", "calc_type": "calc", "distribution": "calc"}

Counts = dict[str, int]


def summarize_cases(cases: pd.DataFrame) -> dict[str, Any]:
    """`cases` as `tables.read_cases` has them. Groups of counts, each under the words in which a person reads it."""
    lesions = cases.assign(malignant=cases["pathology"] == "MALIGNANT")
    images = _images(lesions)
    kinds = [kind for kind in _KINDS if (lesions["kind"] == kind).any()]
    return {
        "case CSVs": _of_each_csv(lesions, images),
        "women": _women(lesions, kinds),
        "images": _of_images(images),
        "women in train and test": _in_both_splits(lesions, images, kinds),
        "scans issued twice": _twins(images),
        "breasts": _breasts(lesions, kinds),
        "values": _values(lesions, kinds),
        "scans, each once": _merged(images),
        "series the CSVs name": _series(lesions),
        "files the CSVs name": _files(lesions),
    }


def flatten_counts(counts: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, how often), a line a count."""
    rows = []
    for what, count in counts.items():
        if isinstance(count, dict):
            rows += [(f"{what}: {part}", number) for part, number in flatten_counts(count)]
        else:
            rows.append((what, str(count)))
    return rows


def _images(lesions: pd.DataFrame) -> pd.DataFrame:
    """A row an image. Its label is malignant if any of its lesions is."""
    images = lesions.groupby(IMAGE_KEY, as_index=False).agg(
        lesions=("lesion_id", "size"),
        first_id=("lesion_id", "min"),
        last_id=("lesion_id", "max"),
        malignant=("malignant", "any"),
        all_malignant=("malignant", "all"),
    )
    # No two lesions of an image share an id, so n ids from 1 to n are every number between.
    images["numbered"] = (images["first_id"] == 1) & (images["last_id"] == images["lesions"])
    return images


def _of_each_csv(lesions: pd.DataFrame, images: pd.DataFrame) -> dict[str, Counts]:
    counts = {}
    for kind in _KINDS:
        for split in _SPLITS:
            of_csv = lesions[(lesions["kind"] == kind) & (lesions["split"] == split)]
            if len(of_csv):
                of_images = images[(images["kind"] == kind) & (images["split"] == split)]
                counts[f"{kind} {split}"] = _of_csv(of_csv, of_images)
    return counts | {"all": _of_csv(lesions, images)}


def _of_csv(lesions: pd.DataFrame, images: pd.DataFrame) -> Counts:
    return {
        "lesions": len(lesions),
        "images": len(images),
        "women": lesions["patient_id"].nunique(),
        **{name.lower().replace("_", " "): int((lesions["pathology"] == name).sum()) for name in PATHOLOGIES},
        "malignant images": int(images["malignant"].sum()),
        "benign images": int((~images["malignant"]).sum()),
    }


def _women(lesions: pd.DataFrame, kinds: list[str]) -> Counts:
    breasts = _with_both_labels(lesions, _BREAST)
    return {
        "all": lesions["patient_id"].nunique(),
        **{f"with {_KINDS[kind]}": lesions.loc[lesions["kind"] == kind, "patient_id"].nunique() for kind in kinds},
        "with masses and calcifications": len(_women_with_several(lesions, "kind")),
        "with benign and malignant lesions": len(_with_both_labels(lesions, ["patient_id"])),
        "with benign and malignant lesions in one breast": breasts["patient_id"].nunique(),
    }


def _with_both_labels(lesions: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """A row for each key under which benign and malignant lesions stand together."""
    found = lesions.groupby(key, as_index=False).agg(labels=("malignant", "nunique"))
    return found[found["labels"] > 1]


def _women_with_several(rows: pd.DataFrame, column: str) -> pd.Index[str]:
    different = rows.groupby("patient_id")[column].nunique()
    return different.index[different > 1]


def _of_images(images: pd.DataFrame) -> Counts:
    return {
        "with several lesions": int((images["lesions"] > 1).sum()),
        "most lesions of one": int(images["lesions"].max()),
        "with benign and malignant lesions": int((images["malignant"] & ~images["all_malignant"]).sum()),
        "with lesions not numbered 1 to n": int((~images["numbered"]).sum()),
    }


def _in_both_splits(lesions: pd.DataFrame, images: pd.DataFrame, kinds: list[str]) -> Counts:
    women = _women_with_several(lesions, "split")
    theirs = lesions[lesions["patient_id"].isin(women)]
    their_images = images[images["patient_id"].isin(women)]
    of_kind = {kind: lesions[lesions["kind"] == kind] for kind in kinds}
    return {
        **{f"within {_KINDS[kind]}": len(_women_with_several(rows, "split")) for kind, rows in of_kind.items()},
        "among all": len(women),
        "their lesions": len(theirs),
        "their lesions in test": int((theirs["split"] == "test").sum()),
        "their lesions in train": int((theirs["split"] == "train").sum()),
        "their images in train": int((their_images["split"] == "train").sum()),
    }


def _twins(images: pd.DataFrame) -> Counts:
    scans = images.groupby(VIEW_KEY).agg(
        issues=("split", "size"), splits=("split", "nunique"), labels=("malignant", "nunique")
    )
    twins = scans[scans["issues"] > 1]
    return {
        "scans": len(twins),
        "once in train, once in test": int((twins["splits"] > 1).sum()),
        "with another label each time": int((twins["labels"] > 1).sum()),
    }


def _breasts(lesions: pd.DataFrame, kinds: list[str]) -> dict[str, Counts]:
    """A breast with masses and calcifications counts under both kinds, and once among all."""
    of_kind = {_KINDS[kind]: lesions[lesions["kind"] == kind] for kind in kinds}
    views = {name: rows.groupby(_BREAST)["view"].agg(set) for name, rows in (of_kind | {"all": lesions}).items()}
    return {
        name: {"breasts": len(of_breast), "with CC and MLO": sum({"CC", "MLO"} <= seen for seen in of_breast)}
        for name, of_breast in views.items()
    }


def _values(lesions: pd.DataFrame, kinds: list[str]) -> dict[str, Counts]:
    """0 is off the scale of density and subtlety; an assessment of 0 is BI-RADS' own "incomplete"."""
    counts = {
        name: {"0": int((lesions[name] == 0).sum()), "missing": int(lesions[name].isna().sum())} for name in _SCALES
    }
    for name, kind in _DESCRIBES.items():
        if kind in kinds:
            described = lesions.loc[lesions["kind"] == kind, name]
            counts[name.replace("_", " ")] = {"missing": int((described == "").sum())}
    return counts


def _merged(images: pd.DataFrame) -> dict[str, Counts]:
    """As a dataset of all kinds has them: a scan issued twice is one, test wins, and no woman stands on both sides."""
    # Test before train, then mass before calc: the first issue is the one that stands for the scan.
    issues = images.sort_values(["split", "kind"], ascending=[True, False])
    scans = issues.groupby(VIEW_KEY, as_index=False).agg(
        split=("split", "first"), malignant=("malignant", "any"), alone=("malignant", "first")
    )
    in_test = scans["split"] == "test"
    left_out = ~in_test & scans["patient_id"].isin(scans.loc[in_test, "patient_id"])
    return {
        "all": _of_scans(scans),
        "train": _of_scans(scans[~in_test & ~left_out]),
        "test": _of_scans(scans[in_test]),
        "left out, train scans of women in test": _of_scans(scans[left_out]),
    }


def _of_scans(scans: pd.DataFrame) -> Counts:
    return {
        "scans": len(scans),
        "women": scans["patient_id"].nunique(),
        "malignant": int(scans["malignant"].sum()),
        "with the label changed by the other issue": int((scans["malignant"] != scans["alone"]).sum()),
    }


def _series(lesions: pd.DataFrame) -> Counts:
    image, crop, mask = (_uids(lesions[name]) for name in ("image_series", "crop_series", "mask_series"))
    together = _uids(lesions.loc[lesions["crop_series"] == lesions["mask_series"], "mask_series"])
    return {
        "full mammogram": len(image),
        "mask and crop": len(together),
        "crop alone": len(crop - together),
        "mask alone": len(mask - together),
        "all": len(image | crop | mask),
    }


def _files(lesions: pd.DataFrame) -> Counts:
    """A series holds one file for each part that the CSVs seek in it."""
    columns = {"full mammogram": "image_series", "crop": "crop_series", "mask": "mask_series"}
    files = {part: len(_uids(lesions[name])) for part, name in columns.items()}
    return files | {"all": sum(files.values())}


def _uids(named: pd.Series) -> set[str]:
    """A CSV without paths names no series."""
    return set(named) - {""}
