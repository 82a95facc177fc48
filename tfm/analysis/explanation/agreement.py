"""How well Grad-CAM agrees with occlusion, which is computed by other means, on the images of the galleries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from tfm.analysis.explanation.gallery import GRAD_CAM, OCCLUSION, ExplainedImage
from tfm.analysis.explanation.scores import average_over_patients
from tfm.analysis.format_intervals import format_interval
from tfm.core.events import Table
from tfm.metrics.intervals import Interval

_ALL = "all"
_CAPTION = (
    "Rank correlation, over the pixels of the breast, of the two maps of evidence for malignant against benign: 1 "
    "where they rank all places alike, 0 where they have nothing in common. The covered images "
    "are taken from each gallery in turn, random ones first, so they are no random sample. Images in which a map is "
    "empty are left out"
)


def measure_agreement(first: np.ndarray, second: np.ndarray, breast: np.ndarray) -> float:
    """Compute the rank correlation of two maps (H, W) over the breast; NaN where a map is constant."""
    inside = breast if breast.any() else np.ones_like(breast)
    values = [one[inside] for one in (first, second)]
    if any(one.min() == one.max() for one in values):
        return math.nan
    return float(spearmanr(*values).statistic)


def measure_agreements(galleries: Mapping[str, Sequence[ExplainedImage]]) -> dict[str, tuple[Interval, int]]:
    """Average the agreement of each gallery and of all, and count the images that have one."""
    found = {gallery: _find_agreements(images) for gallery, images in galleries.items()}
    found[_ALL] = [one for agreements in found.values() for one in agreements]
    return {
        gallery: (_average([value for value, _ in agreements], [patient for _, patient in agreements]), len(agreements))
        for gallery, agreements in found.items()
        if agreements
    }


def _average(correlations: list[float], patients: list[str]) -> Interval:
    """The interval of a mean needs shares, from 0 to 1."""
    share = average_over_patients((np.array(correlations) + 1) / 2, np.array(patients))
    return Interval(*(2 * end - 1 for end in (share.value, share.low, share.high)))


def _find_agreements(images: Sequence[ExplainedImage]) -> list[tuple[float, str]]:
    """The agreement and the patient of each image that has both maps."""
    both = [one for one in images if {GRAD_CAM, OCCLUSION} <= set(one.evidence)]
    measured = [(measure_agreement(one.evidence[GRAD_CAM], one.evidence[OCCLUSION], one.breast), one) for one in both]
    return [(value, one.patient) for value, one in measured if not math.isnan(value)]


def make_agreement_table(agreements: Mapping[str, tuple[Interval, int]], drawn: int, protocol: str) -> Table:
    rows = [[gallery, format_interval(interval), str(count)] for gallery, (interval, count) in agreements.items()]
    columns = ["gallery", "rank correlation (95 % interval)", "images"]
    caption = f"{protocol}. n = {agreements[_ALL][1]} of {drawn} drawn images. {_CAPTION}"
    return Table("Occlusion beside Grad-CAM", columns, rows, caption)
