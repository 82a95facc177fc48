"""Ways of training compared on the same patients, each by one or several runs."""

import numpy as np
import pytest

from tfm.analysis.paired_differences import compare_estimates
from tfm.metrics.intervals import compute_auc_interval, estimate_auc

PATIENTS = 60
LABELS = np.repeat(np.arange(PATIENTS) % 2, 2)
NAMES = np.repeat([f"P_{number}" for number in range(PATIENTS)], 2)


def compare(against, **ways):
    estimates = {way: estimate_auc(LABELS, scores, NAMES) for way, scores in ways.items()}
    return compare_estimates(estimates, against, compute_auc_interval)


def draw_noise(*shape):
    return np.random.default_rng(3).normal(size=shape)


def test_way_with_one_run_has_the_auc_and_interval_of_the_run():
    scores = LABELS + draw_noise(2 * PATIENTS)
    outcome = compare({}, plain=scores)["plain"]
    assert not outcome.differences
    assert outcome.each == [outcome.mean.value]
    assert outcome.mean == compute_auc_interval(estimate_auc(LABELS, scores, NAMES))
    assert outcome.format_cells()[1] == "–"


def test_each_way_is_compared_with_the_ways_that_are_asked_for():
    hard = 2 * draw_noise(2 * PATIENTS, 1)  # the same images are hard for both
    few, many = LABELS[:, None] + hard + 0.1 * draw_noise(2 * PATIENTS, 3), 1.6 * LABELS[:, None] + hard
    outcomes = compare({"many": ["few", "same"]}, few=few, many=many, same=few)
    assert not outcomes["few"].differences
    gain = outcomes["many"].differences["few"]
    assert gain == outcomes["many"].differences["same"]
    assert gain.value == pytest.approx(outcomes["many"].mean.value - outcomes["few"].mean.value)
    assert gain.low > 0
    assert gain.high - gain.low < outcomes["many"].mean.high - outcomes["many"].mean.low, "paired"


def test_range_of_the_runs_is_shown_beside_their_mean():
    outcome = compare({}, way=0.1 * LABELS[:, None] + draw_noise(2 * PATIENTS, 3))["way"]
    assert len(outcome.each) == 3
    assert outcome.mean.value == pytest.approx(np.mean(outcome.each))
    assert outcome.format_cells()[1] == f"{min(outcome.each):.3f} to {max(outcome.each):.3f}"
