"""The calibration error equals a plain recomputation from scikit-learn's reliability curve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tfm.metrics.calibration import BINS, bin_probabilities, compute_calibration_error


def make_probabilities(seed: int, images: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = np.round(rng.random(images), 2)  # some are the ends of bins
    return (rng.random(images) < probs**2).astype(int), probs


@pytest.mark.parametrize("seed", range(4))
def test_bins_and_error_equal_those_of_scikit_learn(seed):
    labels, probs = make_probabilities(seed)
    observed, predicted = calibration_curve(labels, probs, n_bins=BINS)
    bins = bin_probabilities(labels, probs)
    assert bins.observed == pytest.approx(observed, abs=1e-12)
    assert bins.predicted == pytest.approx(predicted, abs=1e-12)
    assert bins.counts.sum() == labels.size
    expected = np.sum(bins.counts * np.abs(observed - predicted)) / labels.size
    assert compute_calibration_error(labels, probs) == pytest.approx(expected, abs=1e-12)


def test_certain_and_right_probabilities_have_no_error():
    labels = np.array([0, 1, 1])
    assert compute_calibration_error(labels, labels.astype(float)) == 0
    assert bin_probabilities(labels, labels.astype(float)).counts.tolist() == [1, 2]
