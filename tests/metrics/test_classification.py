"""AUC, thresholds, confusion counts and their intervals, against plain definitions and scikit-learn."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score, roc_curve

from tfm.core.errors import DataError
from tfm.metrics.classification import (
    CONFIDENCE,
    Confusion,
    Interval,
    bootstrap_interval,
    compute_auc,
    compute_confusion,
    compute_exact_interval,
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
    assert (table.accuracy, table.sensitivity, table.specificity) == (0.7, 0.6, 0.8)
    assert table.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_rate_without_denominator_is_nan() -> None:
    only_benign = Confusion(tp=0, fp=0, tn=5, fn=0)
    assert only_benign.specificity == 1
    assert math.isnan(only_benign.sensitivity)
    assert math.isnan(only_benign.f1)
    assert math.isnan(Confusion(0, 0, 0, 0).accuracy)


def test_fast_auc_bootstrap_equals_the_plain_one() -> None:
    labels, scores = make_scores(3)
    patients = np.arange(labels.size) // 3
    fast = bootstrap_interval(compute_auc, patients, labels, scores, seed=1, rounds=300)
    plain = bootstrap_interval(lambda *columns: compute_auc(*columns), patients, labels, scores, seed=1, rounds=300)
    assert (fast.value, fast.low, fast.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-12)
    assert fast.low < fast.value < fast.high


def test_copies_of_images_do_not_narrow_the_interval() -> None:
    labels, scores = make_scores(5)
    patients = np.arange(labels.size)
    once = bootstrap_interval(compute_auc, patients, labels, scores, seed=1)
    copies = [np.tile(column, 4) for column in (patients, labels, scores)]
    clustered = bootstrap_interval(compute_auc, *copies, seed=1)
    naive = bootstrap_interval(compute_auc, np.arange(4 * labels.size), *copies[1:], seed=1)
    assert (clustered.low, clustered.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert clustered.high - clustered.low > 1.6 * (naive.high - naive.low)


def test_interval_depends_on_the_seed_but_not_on_row_order() -> None:
    labels, scores = make_scores(6)
    patients = np.array([f"P_{row // 2:05d}" for row in range(labels.size)])
    shuffled = np.random.default_rng(0).permutation(labels.size)
    here = bootstrap_interval(compute_auc, patients, labels, scores, seed=1)
    assert bootstrap_interval(compute_auc, patients[shuffled], labels[shuffled], scores[shuffled], seed=1) == here
    assert bootstrap_interval(compute_auc, patients, labels, scores, seed=2) != here


def test_undefined_rounds_are_dropped_and_too_many_leave_no_interval() -> None:
    mixed = bootstrap_interval(
        compute_auc, np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]), seed=1
    )
    assert 0 <= mixed.low <= mixed.high <= 1
    undefined = bootstrap_interval(lambda column: math.nan, np.arange(4), np.arange(4), seed=1, rounds=10)
    assert math.isnan(undefined.low)
    assert math.isnan(undefined.high)


def test_single_patient_has_no_interval() -> None:
    alone = bootstrap_interval(compute_auc, np.zeros(4), np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.5, 0.9]), seed=1)
    assert alone.value == 1
    assert math.isnan(alone.low)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match="length"):
        bootstrap_interval(compute_auc, np.arange(3), np.array([0, 1]), np.array([0.1, 0.2]), seed=1)


def test_interval_covers_the_truth_as_often_as_it_claims() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    truth = norm.cdf(1 / 2)  # two normals 1 apart, each of variance 2
    for trial in range(100):
        patients = np.repeat(np.arange(60), 2)
        labels = np.repeat(np.arange(60) % 2, 2)
        scores = rng.normal(labels, 1) + np.repeat(rng.normal(0, 1, 60), 2)
        interval = bootstrap_interval(compute_auc, patients, labels, scores, seed=trial, rounds=400)
        covered += interval.low <= truth <= interval.high
    assert 0.88 <= covered / 100 <= 1


@pytest.mark.alone
def test_2000_rounds_on_640_images_take_under_2_seconds() -> None:
    labels, scores = make_scores(7, images=640, decimals=8)
    start = time.perf_counter()
    bootstrap_interval(compute_auc, np.arange(640) // 2, labels, scores, seed=1)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("trials", [1, 7, 300])
def test_exact_interval_equals_clopper_pearson(trials: int) -> None:
    for hits in (0, trials):
        expected = binomtest(hits, trials).proportion_ci(CONFIDENCE, "exact")
        interval = compute_exact_interval(hits / trials, trials)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert math.isnan(compute_exact_interval(1.0, 0).low)


def test_undefined_interval_is_valid_json() -> None:
    values = Interval(np.float64(0.7), math.nan, math.nan).flatten("auc")
    assert json.loads(json.dumps(values, allow_nan=False)) == {"auc": 0.7, "auc_low": None, "auc_high": None}
