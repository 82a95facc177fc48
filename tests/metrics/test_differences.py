"""Differences between two metrics on the same patients."""

import math

import numpy as np
import pytest

from tests.metrics.clustered_images import draw_study
from tfm.metrics.differences import compare_estimates
from tfm.metrics.intervals import Estimate, compute_auc_interval, estimate_auc


def estimate_both(patients: int, aucs: list[float], seed: int = 3) -> list[Estimate]:
    study = draw_study(np.random.default_rng(seed), patients, aucs)
    return [estimate_auc(study.labels, study.scores[:, [run]], study.patients) for run in range(2)]


def test_p_value_is_below_5_percent_exactly_where_the_interval_leaves_out_0():
    outcomes = []
    for seed in range(40):
        difference = compare_estimates(*estimate_both(60, [0.93, 0.86], seed))
        significant = difference.p_value < 0.05
        assert significant == (not difference.interval.low <= 0 <= difference.interval.high)
        outcomes.append(significant)
    assert 8 < sum(outcomes) < 32, "both cases occur"


def test_the_order_of_the_two_changes_the_sign_only():
    first, second = estimate_both(80, [0.9, 0.8])
    forth, back = compare_estimates(first, second), compare_estimates(second, first)
    assert back.value == -forth.value
    assert back.p_value == pytest.approx(forth.p_value)
    assert (back.interval.low, back.interval.high) == pytest.approx((-forth.interval.high, -forth.interval.low))


def test_a_model_does_not_differ_from_itself():
    first, _ = estimate_both(60, [0.8, 0.8])
    difference = compare_estimates(first, first)
    assert (difference.interval.low, difference.interval.high, difference.p_value) == (0, 0, 1)


def test_two_perfect_models_differ_by_no_more_than_the_exact_interval_allows():
    labels, patients = np.tile([0, 1], 30), np.arange(60)
    perfect = [estimate_auc(labels, labels * factor, patients) for factor in (1.0, 2.0)]
    width = 1 - compute_auc_interval(perfect[0]).low
    interval = compare_estimates(*perfect).interval
    assert interval.high == pytest.approx(width, rel=1e-6)
    assert interval.low == -interval.high


def test_a_nearly_perfect_model_is_not_told_from_a_perfect_one():
    labels, patients = np.tile([0, 1], 30), np.arange(60)
    perfect, nearly = (estimate_auc(labels, labels + slip * (patients == 0), patients) for slip in (0.0, 1.0))
    assert compare_estimates(perfect, nearly).p_value == 1


def test_constant_scores_do_not_differ():
    labels, patients = np.tile([0, 1], 30), np.arange(60)
    constant = [estimate_auc(labels, np.full(60, value), patients) for value in (0.2, 0.9)]
    assert compare_estimates(*constant).p_value == 1


def test_a_large_difference_has_a_small_p_value():
    labels, patients = np.tile([0, 1], 30), np.arange(60)
    noise = np.random.default_rng(2).normal(size=60)
    good, chance = estimate_auc(labels, 5.0 * labels + noise, patients), estimate_auc(labels, noise, patients)
    assert compare_estimates(good, chance).p_value < 1e-3


def test_one_patient_has_neither_interval_nor_p_value():
    labels = np.array([0, 1, 0, 1])
    one, other = (estimate_auc(labels, np.array(scores), np.zeros(4)) for scores in ([1, 2, 3, 4.0], [1, 2, 4, 3.0]))
    difference = compare_estimates(one, other)
    assert math.isnan(difference.interval.low)
    assert math.isnan(difference.p_value)
