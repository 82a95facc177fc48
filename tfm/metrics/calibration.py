"""Whether probabilities mean what they say: the calibration error, and the bins of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 10  # of equal width


@dataclass(frozen=True)
class ReliabilityBins:
    """Images by their probability. Bins without images are left out."""

    predicted: np.ndarray  # (bins,) mean probability
    observed: np.ndarray  # (bins,) share of malignant images
    counts: np.ndarray  # (bins,) of images


def bin_probabilities(labels: np.ndarray, probs: np.ndarray) -> ReliabilityBins:
    places = find_bins(probs)
    counts = np.bincount(places, minlength=BINS)
    used = counts > 0
    means = [np.bincount(places, values, BINS)[used] / counts[used] for values in (probs, labels)]
    return ReliabilityBins(means[0], means[1], counts[used])


def compute_calibration_error(labels: np.ndarray, probs: np.ndarray) -> float:
    """Compute the expected calibration error: the mean difference between probability and share of malignant images
    over the bins, weighted by their images.

    It has no interval. In small samples it is too high even for perfect probabilities, and the bootstraps that were
    simulated cover the truth in 43 to 96 %.
    """
    bins = bin_probabilities(labels, probs)
    return float(np.average(np.abs(bins.predicted - bins.observed), weights=bins.counts))


def find_bins(probs: np.ndarray) -> np.ndarray:
    """A bin contains its upper end, as in scikit-learn."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probs)
