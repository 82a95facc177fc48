"""From lesions to images: a label is that of all lesions, and a scan issued twice is one image. Files play no part."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import groupby
from typing import Any

import pandas as pd

from tfm.data.download.notices import Notice

VIEW_KEY = ["patient_id", "side", "view"]
_SCALES = {"density": (1, 4), "assessment": (0, 5), "subtlety": (1, 5)}  # BI-RADS 0 is a value: "incomplete"
_PRECEDENCE = ("test", "train"), ("mass", "calc")  # of a scan's issues, the one that stands for it comes first

Lesion = dict[Hashable, Any]  # a row of the lesion table


def group_by_view(lesions: pd.DataFrame) -> dict[str, list[Lesion]]:
    """The lesions of each image_id, in its order; within one, those of the issue that stands for the scan first."""
    splits, kinds = _PRECEDENCE

    def place(lesion: Lesion) -> tuple[str, int, int, int]:
        return _image_id(lesion), splits.index(lesion["split"]), kinds.index(lesion["kind"]), lesion["lesion_id"]

    rows = sorted(lesions.to_dict("records"), key=place)
    return {name: list(group) for name, group in groupby(rows, _image_id)}


def group_by_lesion(lesions: pd.DataFrame) -> dict[str, list[Lesion]]:
    """Each lesion alone, under the image_id that its crop has."""
    views = group_by_view(lesions)
    return {f"{view}_{one['kind']}_{one['lesion_id']}": [one] for view, found in views.items() for one in found}


def build_mammogram_table(lesions: pd.DataFrame) -> tuple[pd.DataFrame, list[Notice]]:
    """A row a breast-view, sorted by image_id: image_id, VIEW_KEY, kind, label, density, assessment, subtlety, and

    lesions    how many it has
    official   "train" or "test" as TCIA has it; a scan issued in both counts as test
    callback   whether any of its lesions was called back
    relabelled whether lesions of the other issue changed the label of the one that stands for the scan
    """
    views = group_by_view(lesions)
    findings = [finding for name, found in views.items() for finding in (*_noticed(name, found), *_mixed(name, found))]
    return _table(_image(name, found, found) for name, found in views.items()), findings


def build_crop_table(lesions: pd.DataFrame) -> tuple[pd.DataFrame, list[Notice]]:
    """A row a lesion, in the columns of `unite`; what is official of a lesion is what is of its scan."""
    views = group_by_view(lesions)
    findings = [finding for name, found in views.items() for finding in _noticed(name, found)]
    alone = group_by_lesion(lesions)
    return _table(_image(name, found, views[_image_id(found[0])]) for name, found in alone.items()), findings


def _table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    return table.astype(dict.fromkeys(_SCALES, "Int64"))


def _image_id(lesion: Lesion) -> str:
    return "_".join(lesion[column] for column in VIEW_KEY)


def _image(name: str, lesions: list[Lesion], scan: list[Lesion]) -> dict[str, object]:
    first = lesions[0]
    return {
        "image_id": name,
        **{column: first[column] for column in VIEW_KEY},
        "kind": "+".join(sorted({lesion["kind"] for lesion in lesions}, key=_PRECEDENCE[1].index)),
        "label": _label(lesions),
        **{column: _highest(lesions, column) for column in _SCALES},
        "lesions": len(lesions),
        "official": scan[0]["split"],
        "callback": any(lesion["pathology"] != "BENIGN_WITHOUT_CALLBACK" for lesion in lesions),
        "relabelled": _label(lesions) != _label(_standing(lesions)),
    }


def _noticed(name: str, lesions: list[Lesion]) -> list[Notice]:
    noticed = []
    issues = list(dict.fromkeys(_issue(lesion) for lesion in lesions))
    if len(issues) > 1:
        before, after = _label(_standing(lesions)), _label(lesions)
        change = f": {before} becomes {after}" if before != after else ""
        noticed.append(Notice("twin", name, f"issued in {' and '.join(issues)}{change}"))
    for lesion in lesions:
        for column in _SCALES:
            if not _is_on_scale(lesion, column):
                value: str = "missing" if pd.isna(lesion[column]) else str(lesion[column])
                noticed.append(Notice("odd-value", name, f"{column} {value} (lesion {lesion['lesion_id']})"))
    return noticed


def _mixed(name: str, lesions: list[Lesion]) -> list[Notice]:
    if len({lesion["pathology"] == "MALIGNANT" for lesion in lesions}) == 1:
        return []
    return [Notice("mixed-labels", name, ", ".join(lesion["pathology"].lower() for lesion in lesions))]


def _issue(lesion: Lesion) -> str:
    return f"{lesion['kind']} {lesion['split']}"


def _standing(lesions: list[Lesion]) -> list[Lesion]:
    return [lesion for lesion in lesions if _issue(lesion) == _issue(lesions[0])]


def _label(lesions: list[Lesion]) -> str:
    return "malignant" if any(lesion["pathology"] == "MALIGNANT" for lesion in lesions) else "benign"


def _highest(lesions: list[Lesion], column: str) -> int | None:
    """An image is as dense, as suspicious and as conspicuous as the most marked of its lesions."""
    return max((lesion[column] for lesion in lesions if _is_on_scale(lesion, column)), default=None)


def _is_on_scale(lesion: Lesion, column: str) -> bool:
    low, high = _SCALES[column]
    return not pd.isna(lesion[column]) and low <= lesion[column] <= high
