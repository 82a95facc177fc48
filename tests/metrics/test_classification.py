"""AUC, thresholds and confusion counts, against plain definitions and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from tfm.core.errors import DataError
from tfm.metrics.classification import (
    Confusion,
    compute_auc,
    compute_confusion,
    find_sensitivity_threshold,
    find_youden_threshold,
)


def make_scores(seed: int, images: int = 60, decimals: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores with many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(images) % 2)
    return labels, np.round(rng.normal(labels, 1), decimals)


def compute_auc_by_pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    wins = [(m > b) + 0.5 * (m == b) for m in scores[labels == 1] for b in scores[labels == 0]]
    return float(np.mean(wins))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_auc_is_the_share_of_pairs_in_the_right_order(seed: int, decimals: int) -> None:
    labels, scores = make_scores(seed, decimals=decimals)
    assert compute_auc(labels, scores) == pytest.approx(compute_auc_by_pairs(labels, scores), abs=1e-12)
    assert compute_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_of_perfect_inverted_and_constant_scores() -> None:
    labels = np.array([0, 0, 1, 1])
    assert compute_auc(labels, np.array([0.1, 0.2, 0.8, 0.9])) == 1
    assert compute_auc(labels, np.array([0.9, 0.8, 0.2, 0.1])) == 0
    assert compute_auc(labels, np.full(4, 0.5)) == 0.5


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([1, 1], [0.1, 0.2], "malignant"),
        ([0, 0], [0.1, 0.2], "benign"),
        ([0, 2], [0.1, 0.2], "labels"),
        ([0, 1], [0.1, math.nan], "finite"),
        ([0, 1], [0.1], "do not match"),
        ([], [], "do not match"),
    ],
)
def test_auc_refuses_invalid_labels_and_scores(labels: list[int], scores: list[float], words: str) -> None:
    with pytest.raises(DataError, match=words) as refused:
        compute_auc(np.array(labels), np.array(scores))
    assert refused.value.hint


@pytest.mark.parametrize("seed", range(10))
def test_no_threshold_beats_the_youden_threshold(seed: int) -> None:
    labels, probs = make_scores(seed)
    called = compute_confusion(labels, probs, find_youden_threshold(labels, probs))
    false_alarms, hits, _ = roc_curve(labels, probs)
    assert called.sensitivity + called.specificity - 1 == pytest.approx(np.max(hits - false_alarms), abs=1e-12)


def test_youden_threshold_prefers_sensitivity_at_a_tie() -> None:
    labels, probs = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    assert find_youden_threshold(labels, probs) == 0.2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("wanted", [0.01, 0.1, 0.5, 0.7, 0.9, 1.0])
def test_sensitivity_threshold_reaches_it_with_the_highest_specificity(seed: int, wanted: float) -> None:
    labels, probs = make_scores(seed)
    chosen = find_sensitivity_threshold(labels, probs, wanted)
    called = compute_confusion(labels, probs, chosen)
    assert called.sensitivity >= wanted
    others = [compute_confusion(labels, probs, threshold) for threshold in np.unique(probs)]
    assert called.specificity == max(other.specificity for other in others if other.sensitivity >= wanted)


def test_sensitivity_threshold_has_no_rounding_error() -> None:
    labels, probs = np.r_[np.ones(100), 0], np.r_[np.linspace(1, 0.1, 100), 0]
    assert compute_confusion(labels, probs, find_sensitivity_threshold(labels, probs, 0.07)).tp == 7


def test_probability_equal_to_the_threshold_is_positive() -> None:
    assert compute_confusion(np.array([0, 1, 1]), np.array([0.5, 0.5, 0.4]), 0.5) == Confusion(tp=1, fp=1, tn=0, fn=1)


def test_rates_of_known_counts() -> None:
    table = Confusion(tp=6, fp=2, tn=8, fn=4)
    assert (table.accuracy, table.sensitivity, table.specificity, table.precision) == (0.7, 0.6, 0.8, 0.75)
    assert table.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_rate_without_denominator_is_nan() -> None:
    only_benign = Confusion(tp=0, fp=0, tn=5, fn=0)
    assert only_benign.specificity == 1
    assert math.isnan(only_benign.sensitivity)
    assert math.isnan(only_benign.f1)
    assert math.isnan(Confusion(0, 0, 0, 0).accuracy)
