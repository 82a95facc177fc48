"""Separate remarks on all predicted images from those on single images, to say the first only once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tfm.analysis.prediction.predicted_images import PredictedImage

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")  # not within a name such as P_00001


def split_shared_remarks(images: Sequence[PredictedImage]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the remarks that all images share, and by the name of each image the others.

    Remarks that differ in their numbers alone become one, with the range of each number.
    """
    forms = [dict.fromkeys(_NUMBER.sub("#", remark) for remark in image.remarks) for image in images]
    shared = [form for form in forms[0] if all(form in other for other in forms)] if len(images) > 1 else []
    remarks = [remark for image in images for remark in image.remarks]
    others = {
        image.name: [remark for remark in image.remarks if _NUMBER.sub("#", remark) not in shared] for image in images
    }
    same_form = [[remark for remark in remarks if _NUMBER.sub("#", remark) == form] for form in shared]
    return [_merge_numbers(*pair) for pair in zip(shared, same_form, strict=True)], others


def merge_remarks(remarks: Mapping[str, Sequence[str]]) -> list[tuple[list[str], str]]:
    """Return each remark with the names of its images, the most frequent first.

    Remarks that differ in their numbers alone become one, with the range of each number.
    """
    by_form: dict[str, dict[str, str]] = {}
    for name, found in remarks.items():
        for remark in found:
            by_form.setdefault(_NUMBER.sub("#", remark), {})[name] = remark
    merged = [(list(found), _merge_numbers(form, list(found.values()))) for form, found in by_form.items()]
    return sorted(merged, key=lambda one: -len(one[0]))


def _merge_numbers(form: str, remarks: Sequence[str]) -> str:
    ranges = []
    for numbers in zip(*map(_NUMBER.findall, remarks), strict=True):
        low, high = min(numbers, key=float), max(numbers, key=float)
        ranges.append(low if low == high else f"{low} to {high}")
    words = form.split("#")
    return "".join(word + number for word, number in zip(words, [*ranges, ""], strict=True))
