"""Paired differences: women are drawn once for both ways, so that what both find hard does not widen the interval."""

import numpy as np
import pytest

from tfm.analysis.contrast import Measurements
from tfm.metrics.classification import bootstrap_interval, compute_auc

WOMEN = 60


def measured(**ways):
    labels = np.repeat(np.arange(WOMEN) % 2, 2)
    patients = np.repeat([f"P_{number}" for number in range(WOMEN)], 2)
    return Measurements(patients, labels, ways, compute_auc)


def noise(*shape):
    return np.random.default_rng(3).normal(size=shape)


def test_the_mean_of_runs_with_one_run_is_the_runs_own_auc_and_interval():
    labels = np.repeat(np.arange(WOMEN) % 2, 2)
    scores = labels + noise(2 * WOMEN)
    one = measured(plain=scores[:, None])
    outcome = one.outcomes({})["plain"]
    assert not outcome.differences
    assert outcome.each == [outcome.mean.value]
    exact = bootstrap_interval(compute_auc, one.patients, labels, scores, seed=0)
    assert [outcome.mean.value, outcome.mean.low, outcome.mean.high] == pytest.approx(
        [exact.value, exact.low, exact.high]
    )


def test_a_way_differs_from_itself_by_nothing_and_from_a_better_one_by_what_they_are_apart():
    labels = np.repeat(np.arange(WOMEN) % 2, 2)
    hard = 2 * noise(2 * WOMEN, 1)  # what makes an image hard is the same for both
    few, many = labels[:, None] + hard + 0.1 * noise(2 * WOMEN, 3), 1.6 * labels[:, None] + hard
    found = measured(few=few, many=many, same=few).outcomes({"many": ["few", "same"], "same": ["few"]})
    nothing, gain = found["same"].differences["few"], found["many"].differences["few"]
    assert gain == found["many"].differences["same"]
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    assert gain.value == pytest.approx(found["many"].mean.value - found["few"].mean.value)
    assert gain.low > 0
    assert gain.high - gain.low < found["many"].mean.high - found["many"].mean.low, "paired"
    assert len(found["few"].each) == 3
    assert found["few"].mean.value == pytest.approx(np.mean(found["few"].each))
