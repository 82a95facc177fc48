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


def compute_calibration_errors(labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (rounds,)
    """Compute the expected calibration error: the mean difference between probability and share of malignant images
    over the bins, weighted by their images.

    Args:
        labels: (n,) 0 or 1
        probs: (n,)
        weights: (rounds, n) how often each image is in each resample.
    """
    gaps = np.zeros((labels.size, BINS))
    gaps[np.arange(labels.size), find_bins(probs)] = probs - labels
    errors: np.ndarray = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
    return errors


def find_bins(probs: np.ndarray) -> np.ndarray:
    """A bin contains its upper end, as in scikit-learn."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probs)
