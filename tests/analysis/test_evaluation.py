"""The metrics of one model: at the threshold of validation, with intervals over patients."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm

from tests.analysis.models import PATIENTS, make_model
from tfm.analysis.evaluation import count_independent_trials, evaluate
from tfm.analysis.format_intervals import format_interval
from tfm.metrics.classification import Interval, compute_auc, compute_exact_interval


def test_metrics_are_those_of_the_predictions_at_the_own_threshold():
    model = make_model(2.0, threshold=0.3)
    evaluation = evaluate(model)
    truth, called = model.predictions["label"] == 1, model.predictions["prob"] >= 0.3
    assert evaluation.auc.value == compute_auc(
        model.predictions["label"].to_numpy(), model.predictions["prob"].to_numpy()
    )
    assert evaluation.rates["sensitivity"].value == (called & truth).sum() / truth.sum()
    assert evaluation.rates["specificity"].value == (~called & ~truth).sum() / (~truth).sum()
    assert evaluation.rates["accuracy"].value == (called == truth).mean()
    assert evaluation.confusion.tp + evaluation.confusion.fn == PATIENTS


def test_each_metric_lies_within_its_interval():
    evaluation = evaluate(make_model(1.0))
    for interval in (evaluation.auc, *evaluation.rates.values()):
        assert interval.low <= interval.value <= interval.high
        assert interval.low < interval.high


def test_intervals_are_reproducible():
    assert evaluate(make_model(1.0)).flatten() == evaluate(make_model(1.0)).flatten()


def test_undefined_interval_is_none_for_programs_and_a_dash_for_people():
    undefined = Interval(0.7, math.nan, math.nan)
    evaluation = dataclasses.replace(evaluate(make_model(1.0)), auc=undefined)
    assert evaluation.flatten()["auc_low"] is None
    assert format_interval(undefined) == "0.700 (– to –)"
    assert format_interval(Interval(math.nan, math.nan, math.nan)) == "–"


def test_metric_of_exactly_one_has_an_exact_interval():
    evaluation = evaluate(make_model(1000.0))
    assert evaluation.auc.value == evaluation.rates["sensitivity"].value == 1
    low = 0.025 ** (1 / (PATIENTS / 2))
    for interval in (evaluation.auc, evaluation.rates["sensitivity"], evaluation.rates["specificity"]):
        assert (interval.low, interval.high) == (pytest.approx(low), 1)
    assert evaluation.rates["accuracy"].low == pytest.approx(0.025 ** (1 / PATIENTS))
    assert math.isnan(evaluation.rates["f1"].low)


def test_pairs_consist_of_different_patients():
    labels, patients = np.array([1, 0, 1, 0, 1]), np.array(["a", "a", "b", "b", "c"])
    expected = {"auc": 1, "accuracy": 3, "sensitivity": 3, "specificity": 2, "f1": 0}
    assert count_independent_trials(labels, patients) == expected


def test_exact_interval_of_a_perfect_auc_covers_the_truth():
    """If the true AUC were the lower end, at most one sample in forty would be separated perfectly."""
    generator, interval = np.random.default_rng(4), compute_exact_interval(1.0, 6)
    apart = np.sqrt(2) * norm.ppf(interval.low)  # two normals whose AUC is the lower end
    perfect = [generator.normal(apart, 1, 6).min() > generator.normal(0, 1, 6).max() for _ in range(4000)]
    assert 0 < np.mean(perfect) <= 0.025
