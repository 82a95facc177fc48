"""Paired differences: both ways are tested on the same resampled patients, so hard images don't widen the interval."""

import numpy as np
import pytest

from tfm.analysis.paired_differences import Measurements
from tfm.metrics.classification import bootstrap_interval, compute_auc

PATIENTS = 60
LABELS = np.repeat(np.arange(PATIENTS) % 2, 2)


def measure(**ways):
    patients = np.repeat([f"P_{number}" for number in range(PATIENTS)], 2)
    return Measurements(patients, LABELS, ways, compute_auc)


def draw_noise(*shape):
    return np.random.default_rng(3).normal(size=shape)


def test_mean_over_one_run_is_its_own_auc_and_interval():
    scores = LABELS + draw_noise(2 * PATIENTS)
    measurements = measure(plain=scores[:, None])
    outcome = measurements.compare({})["plain"]
    assert not outcome.differences
    assert outcome.each == [outcome.mean.value]
    exact = bootstrap_interval(compute_auc, measurements.patients, LABELS, scores, seed=0)
    assert [outcome.mean.value, outcome.mean.low, outcome.mean.high] == pytest.approx(
        [exact.value, exact.low, exact.high]
    )


def test_difference_is_zero_to_itself_and_the_gap_to_a_worse_way():
    hard = 2 * draw_noise(2 * PATIENTS, 1)  # the same images are hard for both
    few, many = LABELS[:, None] + hard + 0.1 * draw_noise(2 * PATIENTS, 3), 1.6 * LABELS[:, None] + hard
    outcomes = measure(few=few, many=many, same=few).compare({"many": ["few", "same"], "same": ["few"]})
    zero, gain = outcomes["same"].differences["few"], outcomes["many"].differences["few"]
    assert gain == outcomes["many"].differences["same"]
    assert (zero.value, zero.low, zero.high) == (0, 0, 0)
    assert gain.value == pytest.approx(outcomes["many"].mean.value - outcomes["few"].mean.value)
    assert gain.low > 0
    assert gain.high - gain.low < outcomes["many"].mean.high - outcomes["many"].mean.low, "paired"
    assert len(outcomes["few"].each) == 3
    assert outcomes["few"].mean.value == pytest.approx(np.mean(outcomes["few"].each))
