"""Metrics of calls equal those of scikit-learn, and each lies within its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from tests.metrics.clustered_images import draw_study
from tfm.metrics.bootstrap import bootstrap_weighted
from tfm.metrics.rates import compute_rates


@pytest.mark.parametrize("seed", range(6))
def test_metrics_equal_those_of_scikit_learn(seed):
    study = draw_study(np.random.default_rng(seed), 50, [0.75])
    truth, called = study.labels == 1, study.scores[:, 0] > 0.7
    rates = compute_rates(truth, called, study.patients)
    assert {name: rate.value for name, rate in rates.items()} == pytest.approx(
        {
            "sensitivity": recall_score(truth, called),
            "specificity": recall_score(~truth, ~called),
            "accuracy": accuracy_score(truth, called),
            "balanced_accuracy": balanced_accuracy_score(truth, called),
            "precision": precision_score(truth, called),
            "f1": f1_score(truth, called),
            "mcc": matthews_corrcoef(truth, called),
        },
        abs=1e-12,
    )
    assert all(rate.low < rate.value < rate.high for rate in rates.values())


def test_intervals_from_formulas_are_close_to_those_of_a_bootstrap():
    study = draw_study(np.random.default_rng(2), 250, [0.8])
    truth, called = study.labels == 1, study.scores[:, 0] > 0.6
    cells = np.stack([truth & called, ~truth & called, truth & ~called, ~truth & ~called], axis=1)

    def recompute(weights: np.ndarray) -> np.ndarray:
        tp, fp, fn, tn = (weights @ cells).T
        correlation = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        return np.stack([(tp / (tp + fn) + tn / (tn + fp)) / 2, correlation], axis=1)

    rates = compute_rates(truth, called, study.patients)
    for name, resampled in zip(
        ("balanced_accuracy", "mcc"), bootstrap_weighted(recompute, study.patients), strict=True
    ):
        assert rates[name].value == pytest.approx(resampled.value, abs=1e-12)
        assert (rates[name].low, rates[name].high) == pytest.approx((resampled.low, resampled.high), abs=0.02)


def test_perfect_calls_have_no_interval_where_no_formula_holds():
    truth = np.arange(40) % 2 == 1
    rates = compute_rates(truth, truth, np.arange(40))
    assert {rate.value for rate in rates.values()} == {1}
    assert 0.8 < rates["balanced_accuracy"].low < 1
    assert math.isnan(rates["mcc"].low)
    assert math.isnan(rates["f1"].low)


def test_metrics_of_one_class_are_undefined_where_they_need_both():
    benign = compute_rates(np.zeros(8, bool), np.arange(8) < 2, np.arange(8))
    assert benign["specificity"].value == 0.75
    assert all(math.isnan(benign[name].value) for name in ("sensitivity", "balanced_accuracy", "mcc"))
    never_called = compute_rates(np.arange(8) < 4, np.zeros(8, bool), np.arange(8))
    assert math.isnan(never_called["precision"].value)
    assert compute_rates(np.zeros(8, bool), np.zeros(8, bool), np.arange(8))["accuracy"].value == 1
