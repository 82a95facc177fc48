"""DeLong's test of two AUCs on the same images (DeLong, DeLong and Clarke-Pearson, Biometrics 1988).

It takes images for independent: images of one patient are not, so it is shown only beside the clustered test in
`differences`, for comparison with other studies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from tfm.metrics.classification import compute_auc


@dataclass(frozen=True)
class DeLongTest:
    difference: float
    error: float  # the standard error of the difference
    p_value: float  # two-sided; NaN if a class has one image only


@dataclass(frozen=True)
class Placements:
    """For each image, the share of its pairs with images of the other class that are in the right order.

    They come from ranks (Sun and Xu, IEEE Signal Processing Letters 2014).
    """

    auc: float
    malignant: np.ndarray
    benign: np.ndarray


def compute_placements(labels: np.ndarray, scores: np.ndarray) -> Placements:
    truth = np.asarray(labels).astype(bool)
    ranks = rankdata(scores)
    return Placements(
        compute_auc(labels, scores),
        (ranks[truth] - rankdata(scores[truth])) / (~truth).sum(),
        1 - (ranks[~truth] - rankdata(scores[~truth])) / truth.sum(),
    )


def run_delong_test(first: Placements, second: Placements) -> DeLongTest:
    """Test whether two scores of the same images have different AUCs."""
    difference = first.auc - second.auc
    changes = [first.malignant - second.malignant, first.benign - second.benign]
    if min(change.size for change in changes) < 2:
        return DeLongTest(difference, math.nan, math.nan)
    error = math.sqrt(sum(float(change.var(ddof=1)) / change.size for change in changes))
    if error == 0:
        return DeLongTest(difference, error, 1.0 if difference == 0 else 0.0)
    return DeLongTest(difference, error, float(2 * ndtr(-abs(difference) / error)))
