"""Intervals from the influences of patients, against slow references."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t

from tests.metrics.clustered_images import Study, draw_study
from tfm.core.errors import DataError
from tfm.metrics.classification import compute_auc
from tfm.metrics.differences import compare_estimates
from tfm.metrics.intervals import (
    CONFIDENCE,
    Interval,
    compute_auc_interval,
    compute_exact_interval,
    compute_mean_interval,
    compute_rate_interval,
    estimate_auc,
    estimate_ratio,
)


@pytest.fixture
def study() -> Study:
    return draw_study(np.random.default_rng(4), 80, [0.7, 0.7, 0.7])


def estimate(study: Study, runs: slice = slice(None), rows: slice | np.ndarray = slice(None)):
    return estimate_auc(study.labels[rows], study.scores[rows, runs], study.patients[rows])


def test_influence_of_a_patient_is_that_of_a_slightly_larger_weight(study):
    def compute_weighted_auc(weights: np.ndarray) -> float:
        malignant, benign = study.labels == 1, study.labels == 0
        scores = np.round(study.scores[:, 0], 1)
        wins = (scores[malignant, None] > scores[benign]) + 0.5 * (scores[malignant, None] == scores[benign])
        return weights[malignant] @ wins @ weights[benign] / (weights[malignant].sum() * weights[benign].sum())

    estimated = estimate_auc(study.labels, np.round(study.scores[:, 0], 1), study.patients)
    ones = np.ones(study.labels.size)
    for patient in range(10):
        heavier = ones + 1e-6 * (study.patients == patient)
        slope = (compute_weighted_auc(heavier) - compute_weighted_auc(ones)) / 1e-6
        assert estimated.influences[patient, 0] == pytest.approx(slope, abs=1e-6)
    assert estimated.influences.sum() == pytest.approx(0, abs=1e-12)
    assert estimated.mean == pytest.approx(compute_weighted_auc(ones))


def test_value_is_the_mean_auc_of_the_runs(study):
    interval = compute_auc_interval(estimate(study))
    assert interval.value == pytest.approx(np.mean([compute_auc(study.labels, run) for run in study.scores.T]))
    assert interval.low < interval.value < interval.high


def test_copies_of_images_do_not_narrow_the_interval(study):
    once = compute_auc_interval(estimate(study, slice(1)))
    rows = np.tile(np.arange(study.labels.size), 4)
    copied = compute_auc_interval(estimate(study, slice(1), rows))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    truth, copies = study.labels == 1, np.tile(study.scores[:, 0] > 0.5, 4)
    rate = compute_rate_interval(copies[: truth.size][truth], study.patients[truth])
    copied_rate = compute_rate_interval(copies[np.tile(truth, 4)], np.tile(study.patients[truth], 4))
    assert (copied_rate.low, copied_rate.high) == pytest.approx((rate.low, rate.high))


def test_order_of_the_images_has_no_effect(study):
    shuffled = np.random.default_rng(0).permutation(study.labels.size)
    here, there = (compute_auc_interval(estimate(study, rows=rows)) for rows in (slice(None), shuffled))
    assert (here.low, here.high) == pytest.approx((there.low, there.high), abs=1e-12)


def test_mean_of_independent_values_has_the_interval_of_student_on_the_logit_scale():
    shares = np.random.default_rng(2).random(30)
    interval = compute_mean_interval(estimate_ratio(shares, np.ones(30), np.arange(30)))
    mean = shares.mean()
    half = t.ppf(0.975, 29) * shares.std(ddof=1) / math.sqrt(30) / (mean * (1 - mean))
    for end, sign in ((interval.low, -1), (interval.high, 1)):
        assert math.log(end / (1 - end)) == pytest.approx(math.log(mean / (1 - mean)) + sign * half)


def test_rate_of_many_patients_with_one_image_each_has_the_interval_of_wilson():
    hits = np.arange(2000) < 1700
    expected = binomtest(1700, 2000).proportion_ci(CONFIDENCE, "wilson")
    interval = compute_rate_interval(hits, np.arange(2000))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_seeds_whose_errors_cancel_do_not_narrow_the_interval(study):
    """Two seeds of about 0.47 and 0.53: no patient changes their mean."""
    noise = np.random.default_rng(1).normal(size=study.labels.size)
    errors = noise + (0.05 - noise[study.labels == 1].mean() + noise[study.labels == 0].mean()) * study.labels
    two = estimate_auc(study.labels, np.stack([errors, -errors], axis=1), study.patients)
    assert two.mean == pytest.approx(0.5)
    assert two.influences.sum(axis=1) == pytest.approx(0)
    interval = compute_auc_interval(two)
    assert interval.low < two.values.min() < two.values.max() < interval.high
    alone = compute_auc_interval(estimate_auc(study.labels, errors, study.patients))
    assert interval.high - interval.low > 0.7 * (alone.high - alone.low)


def test_seeds_that_differ_more_widen_the_interval_and_more_seeds_narrow_it():
    def measure(aucs: list[float]) -> float:
        study = draw_study(np.random.default_rng(3), 200, aucs)
        interval = compute_auc_interval(estimate_auc(study.labels, study.scores, study.patients))
        return interval.high - interval.low

    assert measure([0.6, 0.8] * 3) > 1.5 * measure([0.7] * 6)
    assert measure([0.65, 0.75]) > 2 * measure([0.65, 0.75] * 3)


def test_copies_of_a_run_say_no_more_than_the_run(study):
    one = compute_auc_interval(estimate_auc(study.labels, study.scores[:, 0], study.patients))
    three = compute_auc_interval(estimate_auc(study.labels, study.scores[:, [0, 0, 0]], study.patients))
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_difference_on_the_same_patients_is_paired(study):
    labels, patients = study.labels, study.patients
    hard = 2 * study.scores[:, 0]  # the same images are hard for both
    worse, better = (estimate_auc(labels, hard + skill * labels, patients) for skill in (0.0, 0.6))
    gain = compare_estimates(better, worse).interval
    assert gain.value == pytest.approx(better.mean - worse.mean)
    assert gain.low > 0
    alone = compute_auc_interval(better)
    assert gain.high - gain.low < 0.5 * (alone.high - alone.low)
    assert compare_estimates(worse, worse).interval == Interval(0, 0, 0)


def test_a_difference_that_one_pair_of_lucky_seeds_shows_is_not_certain():
    study = draw_study(np.random.default_rng(5), 300, [0.66, 0.74, 0.72, 0.80])
    estimates = [estimate_auc(study.labels, study.scores[:, runs], study.patients) for runs in ([0, 1], [2, 3])]
    interval = compare_estimates(*estimates).interval
    assert interval.low < 0 < interval.high


@pytest.mark.parametrize("trials", [1, 7, 300])
def test_exact_interval_equals_clopper_pearson(trials):
    for hits in (0, trials):
        expected = binomtest(hits, trials).proportion_ci(CONFIDENCE, "exact")
        interval = compute_exact_interval(hits / trials, trials)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert math.isnan(compute_exact_interval(1.0, 0).low)


def test_value_of_exactly_one_has_an_exact_interval_over_patients():
    labels, patients = np.array([1, 1, 1, 0, 0]), np.array([0, 0, 1, 2, 3])
    perfect = compute_auc_interval(estimate_auc(labels, labels.astype(float), patients))
    assert (perfect.low, perfect.high) == (pytest.approx(0.025**0.5), 1)
    rate = compute_rate_interval(np.ones(3), patients[:3])
    assert (rate.low, rate.high) == (pytest.approx(0.025**0.5), 1)


def test_exact_interval_of_a_perfect_auc_covers_the_truth():
    """If the true AUC were the lower end, at most one sample in forty would be separated perfectly."""
    generator, interval = np.random.default_rng(4), compute_exact_interval(1.0, 6)
    apart = np.sqrt(2) * norm.ppf(interval.low)  # two normals whose AUC is the lower end
    perfect = [generator.normal(apart, 1, 6).min() > generator.normal(0, 1, 6).max() for _ in range(4000)]
    assert 0 < np.mean(perfect) <= 0.025


def test_pairs_of_the_auc_consist_of_different_patients():
    labels, patients = np.array([1, 0, 1, 0, 1]), np.array(["a", "a", "b", "b", "c"])
    assert estimate_auc(labels, np.arange(5.0), patients).trials == 1


def test_single_patient_has_no_interval():
    labels, scores, patients = np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.7, 0.9]), np.zeros(4)
    for interval in (
        compute_auc_interval(estimate_auc(labels, scores, patients)),
        compute_rate_interval(scores > 0.5, patients),
        compute_mean_interval(estimate_ratio(scores, np.ones(4), patients)),
    ):
        assert math.isfinite(interval.value)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    assert math.isnan(compute_rate_interval(np.array([]), np.array([])).value)


def test_patients_who_do_not_differ_give_no_interval_of_width_zero():
    """By chance, no patient changes the AUC more than another: that is no certainty."""
    labels, patients = np.repeat([1, 0], 4), np.repeat(np.arange(4), 2)
    estimate = estimate_auc(labels, np.array([0, 4, 1, 5, 2, 6, 3, 7]), patients)
    assert estimate.influences == pytest.approx(0)
    interval = compute_auc_interval(estimate)
    assert interval.value == 0.25
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_values_of_a_different_length_than_the_patients_are_refused():
    with pytest.raises(DataError, match="do not match"):
        estimate_ratio(np.ones(2), np.ones(2), np.arange(3))


def test_undefined_interval_is_valid_json():
    values = Interval(np.float64(0.7), math.nan, math.nan).flatten("auc")
    assert json.loads(json.dumps(values, allow_nan=False)) == {"auc": 0.7, "auc_low": None, "auc_high": None}


@pytest.mark.alone
def test_interval_of_640_images_takes_under_50_ms():
    study = draw_study(np.random.default_rng(6), 256, [0.7])
    start = time.perf_counter()
    compute_auc_interval(estimate(study))
    assert time.perf_counter() - start < 0.05
