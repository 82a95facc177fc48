"""Turn the lesion table into a table of images: one label for all lesions, one image for a scan issued twice.
Files are not considered here."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import groupby
from typing import Any

import pandas as pd

from tfm.data.download.notices import Notice

VIEW_KEY = ["patient_id", "side", "view"]
_SCALES = {"density": (1, 4), "assessment": (0, 5), "subtlety": (1, 5)}  # BI-RADS 0 is a value: "incomplete"
_PRECEDENCE = ("test", "train"), ("mass", "calc")  # the issue that represents a scan comes first

Lesion = dict[Hashable, Any]  # a row of the lesion table


def group_by_view(lesions: pd.DataFrame) -> dict[str, list[Lesion]]:
    """Map each image_id, sorted, to its lesions; those of the issue that represents the scan come first."""
    splits, kinds = _PRECEDENCE

    def sort_key(lesion: Lesion) -> tuple[str, int, int, int]:
        return _name_image(lesion), splits.index(lesion["split"]), kinds.index(lesion["kind"]), lesion["lesion_id"]

    rows = sorted(lesions.to_dict("records"), key=sort_key)
    return {name: list(group) for name, group in groupby(rows, _name_image)}


def group_by_lesion(lesions: pd.DataFrame) -> dict[str, list[Lesion]]:
    """Map the image_id of each crop to its lesion."""
    views = group_by_view(lesions)
    return {f"{view}_{one['kind']}_{one['lesion_id']}": [one] for view, found in views.items() for one in found}


def build_mammogram_table(lesions: pd.DataFrame) -> tuple[pd.DataFrame, list[Notice]]:
    """One row per mammogram, sorted by image_id: image_id, VIEW_KEY, kind, label, density, assessment, subtlety, and

    lesions    their number
    official   TCIA's "train" or "test"; a scan issued in both counts as test
    callback   whether any of its lesions was called back
    relabelled whether lesions of its other issue changed the label
    """
    views = group_by_view(lesions)
    findings = []
    for name, found in views.items():
        findings += _report_oddities(name, found)
        if len({lesion["pathology"] == "MALIGNANT" for lesion in found}) > 1:
            findings.append(Notice("mixed-labels", name, ", ".join(lesion["pathology"].lower() for lesion in found)))
    return _build_table(_build_row(name, found, found) for name, found in views.items()), findings


def build_crop_table(lesions: pd.DataFrame) -> tuple[pd.DataFrame, list[Notice]]:
    """One row per lesion, with the columns of the mammogram table; `official` is that of the whole scan."""
    views = group_by_view(lesions)
    findings = [finding for name, found in views.items() for finding in _report_oddities(name, found)]
    alone = group_by_lesion(lesions)
    rows = (_build_row(name, found, views[_name_image(found[0])]) for name, found in alone.items())
    return _build_table(rows), findings


def _build_table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    return table.astype(dict.fromkeys(_SCALES, "Int64"))


def _name_image(lesion: Lesion) -> str:
    return "_".join(lesion[column] for column in VIEW_KEY)


def _build_row(name: str, lesions: list[Lesion], scan: list[Lesion]) -> dict[str, object]:
    first = lesions[0]
    return {
        "image_id": name,
        **{column: first[column] for column in VIEW_KEY},
        "kind": "+".join(sorted({lesion["kind"] for lesion in lesions}, key=_PRECEDENCE[1].index)),
        "label": _combine_labels(lesions),
        # The value of an image is the highest of its lesions.
        **{
            column: max((lesion[column] for lesion in lesions if _is_on_scale(lesion, column)), default=None)
            for column in _SCALES
        },
        "lesions": len(lesions),
        "official": scan[0]["split"],
        "callback": any(lesion["pathology"] != "BENIGN_WITHOUT_CALLBACK" for lesion in lesions),
        "relabelled": _combine_labels(lesions) != _combine_labels(_select_first_issue(lesions)),
    }


def _report_oddities(name: str, lesions: list[Lesion]) -> list[Notice]:
    noticed = []
    issues = list(dict.fromkeys(_name_issue(lesion) for lesion in lesions))
    if len(issues) > 1:
        before, after = _combine_labels(_select_first_issue(lesions)), _combine_labels(lesions)
        change = f": {before} becomes {after}" if before != after else ""
        noticed.append(Notice("twin", name, f"issued in {' and '.join(issues)}{change}"))
    for lesion in lesions:
        for column in _SCALES:
            if not _is_on_scale(lesion, column):
                value: str = "missing" if pd.isna(lesion[column]) else str(lesion[column])
                noticed.append(Notice("odd-value", name, f"{column} {value} (lesion {lesion['lesion_id']})"))
    return noticed


def _name_issue(lesion: Lesion) -> str:
    return f"{lesion['kind']} {lesion['split']}"


def _select_first_issue(lesions: list[Lesion]) -> list[Lesion]:
    return [lesion for lesion in lesions if _name_issue(lesion) == _name_issue(lesions[0])]


def _combine_labels(lesions: list[Lesion]) -> str:
    return "malignant" if any(lesion["pathology"] == "MALIGNANT" for lesion in lesions) else "benign"


def _is_on_scale(lesion: Lesion, column: str) -> bool:
    low, high = _SCALES[column]
    return not pd.isna(lesion[column]) and low <= lesion[column] <= high
