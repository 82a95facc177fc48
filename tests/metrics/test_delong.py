"""DeLong's test against the data of its paper and a slow reference."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from tests.metrics.clustered_images import draw_study
from tfm.metrics.classification import compute_auc
from tfm.metrics.delong import DeLongTest, compute_placements, run_delong_test

# The example of DeLong, DeLong and Clarke-Pearson (1988), as in the SAS/STAT User's Guide, LOGISTIC procedure,
# "Comparing Receiver Operating Characteristic Curves": 43 patients; albumin, total protein, K-G score, outcome.
PATIENTS = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
ALBUMIN, PROTEIN, K_G, OUTCOME = np.array(PATIENTS.split(), dtype=float).reshape(-1, 4).T


def compare_scores(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLongTest:
    return run_delong_test(compute_placements(labels, first), compute_placements(labels, second))


def run_slowly(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Compute the test from all pairs, as the paper writes it."""
    placements = []
    for scores in (first, second):
        malignant, benign = scores[labels == 1], scores[labels == 0]
        pairs = (malignant[:, None] > benign) + 0.5 * (malignant[:, None] == benign)
        placements.append((pairs.mean(), pairs.mean(axis=1), pairs.mean(axis=0)))
    (one, v10, v01), (other, w10, w01) = placements
    covariances = np.cov(v10, w10) / v10.size + np.cov(v01, w01) / v01.size
    error = math.sqrt(covariances[0, 0] + covariances[1, 1] - 2 * covariances[0, 1])
    return one - other, error, 2 * norm.sf(abs(one - other) / error)


@pytest.mark.parametrize(
    ("score", "auc", "difference", "error", "p_value"),
    [(ALBUMIN, 0.7366, 0.0108, 0.0953, 0.9102), (PROTEIN, 0.6478, -0.0780, 0.1046, 0.4561)],
)
def test_published_example(score, auc, difference, error, p_value):
    assert compute_auc(OUTCOME, 10 - K_G) == pytest.approx(0.7258, abs=5e-5)
    assert compute_auc(OUTCOME, score) == pytest.approx(auc, abs=5e-5)
    test = compare_scores(OUTCOME, score, 10 - K_G)
    assert (test.difference, test.error, test.p_value) == pytest.approx((difference, error, p_value), abs=5e-5)


@pytest.mark.parametrize("decimals", [16, 1])
def test_equals_the_slow_reference_also_with_ties(decimals):
    study = draw_study(np.random.default_rng(8), 60, [0.8, 0.7])
    first, second = np.round(study.scores, decimals).T
    test = compare_scores(study.labels, first, second)
    expected = run_slowly(study.labels, first, second)
    assert (test.difference, test.error, test.p_value) == pytest.approx(expected, abs=1e-12)


def test_equal_scores_and_ties_everywhere_do_not_differ():
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.3, 0.2])
    for first, second in ((scores, scores), (np.zeros(4), np.ones(4))):
        test = compare_scores(labels, first, second)
        assert (test.difference, test.p_value) == (0, 1)


def test_a_single_malignant_image_has_no_p_value():
    assert math.isnan(compare_scores(np.array([0, 0, 1]), np.array([0.1, 0.5, 0.3]), np.array([0.1, 0.2, 0.3])).p_value)
