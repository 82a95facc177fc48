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


def run_delong_test(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLongTest:
    """Test whether two scores of the same images have different AUCs.

    The shares of pairs in the right order come from ranks (Sun and Xu, IEEE Signal Processing Letters 2014).
    """
    difference = compute_auc(labels, first) - compute_auc(labels, second)
    truth = np.asarray(labels).astype(bool)
    changes = [one - other for one, other in zip(_count_wins(truth, first), _count_wins(truth, second), strict=True)]
    if min(map(len, changes)) < 2:
        return DeLongTest(difference, math.nan, math.nan)
    error = math.sqrt(sum(float(change.var(ddof=1)) / len(change) for change in changes))
    if error == 0:
        return DeLongTest(difference, error, 1.0 if difference == 0 else 0.0)
    return DeLongTest(difference, error, float(2 * ndtr(-abs(difference) / error)))


def _count_wins(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each malignant and each benign image, compute the share of its pairs that are in the right order."""
    malignant, benign = scores[truth], scores[~truth]
    ranks = rankdata(scores)
    return (
        (ranks[truth] - rankdata(malignant)) / benign.size,
        1 - (ranks[~truth] - rankdata(benign)) / malignant.size,
    )
