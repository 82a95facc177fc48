"""The metrics of one model: at the threshold of validation, with intervals over patients."""

import dataclasses
import math

import pytest

from tests.analysis.models import PATIENTS, make_model
from tfm.analysis.evaluation import evaluate
from tfm.analysis.format_intervals import format_interval
from tfm.metrics.classification import compute_auc
from tfm.metrics.intervals import Interval


def test_metrics_are_those_of_the_predictions_at_the_own_threshold():
    model = make_model(2.0, threshold=0.3)
    evaluation = evaluate(model)
    truth, called = model.predictions["label"] == 1, model.predictions["prob"] >= 0.3
    assert evaluation.auc.value == compute_auc(
        model.predictions["label"].to_numpy(), model.predictions["prob"].to_numpy()
    )
    assert evaluation.metrics["sensitivity"].value == (called & truth).sum() / truth.sum()
    assert evaluation.metrics["specificity"].value == (~called & ~truth).sum() / (~truth).sum()
    assert evaluation.metrics["accuracy"].value == (called == truth).mean()
    assert evaluation.confusion.tp + evaluation.confusion.fn == PATIENTS


def test_each_metric_lies_within_its_interval():
    evaluation = evaluate(make_model(1.0))
    for name, interval in evaluation.metrics.items():
        if not name.startswith("calibration_error"):  # it has no interval that holds
            assert interval.low <= interval.value <= interval.high
            assert interval.low < interval.high


def test_intervals_are_reproducible():
    assert evaluate(make_model(1.0)).flatten() == evaluate(make_model(1.0)).flatten()


def test_undefined_interval_is_none_for_programs_and_a_dash_for_people():
    undefined = Interval(0.7, math.nan, math.nan)
    evaluation = dataclasses.replace(evaluate(make_model(1.0)), metrics={"auc": undefined})
    assert evaluation.flatten()["auc_low"] is None
    assert format_interval(undefined) == "0.700 (– to –)"
    assert format_interval(Interval(math.nan, math.nan, math.nan)) == "–"


def test_metric_of_exactly_one_has_an_exact_interval():
    evaluation = evaluate(make_model(1000.0))
    assert evaluation.auc.value == evaluation.metrics["sensitivity"].value == 1
    low = 0.025 ** (1 / (PATIENTS / 2))
    for interval in (evaluation.auc, evaluation.metrics["sensitivity"], evaluation.metrics["specificity"]):
        assert (interval.low, interval.high) == (pytest.approx(low), 1)
    assert evaluation.metrics["accuracy"].low == pytest.approx(0.025 ** (1 / PATIENTS))
    assert math.isnan(evaluation.metrics["f1"].low)
