"""ROC and precision-recall curves, and the metrics that rest on them.

The rows of `Calls` are resamples of the same images: 2,000 bootstrap rounds are one array operation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfm.metrics.bootstrap import resample_patients
from tfm.metrics.classification import validate_scores
from tfm.metrics.intervals import CONFIDENCE

LEVEL = 0.9  # sensitivity is measured at this specificity, and the reverse; the partial AUC is that above it
_BAND_ROUNDS = 500


@dataclass(frozen=True)
class Calls:
    """How many images are called malignant at each threshold, from none to all. A row for each resample."""

    hits: np.ndarray  # (rounds, thresholds) malignant images
    alarms: np.ndarray  # (rounds, thresholds) benign images

    @property
    def sensitivities(self) -> np.ndarray:
        return _divide(self.hits, self.hits[:, -1:])

    @property
    def false_positive_rates(self) -> np.ndarray:
        return _divide(self.alarms, self.alarms[:, -1:])

    @property
    def specificities(self) -> np.ndarray:
        return _divide(self.alarms[:, -1:] - self.alarms, self.alarms[:, -1:])

    @property
    def precisions(self) -> np.ndarray:
        """NaN where no image is called malignant."""
        return _divide(self.hits, self.hits + self.alarms)


def _divide(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = parts / wholes
    return shares


def count_calls(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Calls:
    """Count the images at or above each score.

    Args:
        labels: (n,) 0 or 1
        scores: (n,)
        weights: (rounds, n) how often each image is in each resample; None: the images themselves, one row.
    """
    truth, scores = validate_scores(labels, scores)
    order = np.argsort(-scores, kind="stable")
    ranked = np.ones((1, order.size)) if weights is None else np.take(weights, order, axis=1).astype(float)
    last_of_ties = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    totals = ranked.cumsum(axis=1)
    ranked *= truth[order]
    hits = ranked.cumsum(axis=1)[:, last_of_ties]
    alarms = totals[:, last_of_ties] - hits
    return Calls(*(np.pad(counts, ((0, 0), (1, 0))) for counts in (hits, alarms)))


def compute_average_precisions(calls: Calls) -> np.ndarray:  # (rounds,)
    """Compute the mean of the precisions, each weighted by the increase in sensitivity at its threshold."""
    gains = np.diff(calls.sensitivities)
    precisions = np.where(gains == 0, 0, calls.precisions[:, 1:])  # undefined before the first image of a resample
    return _hide_single_classes((gains * precisions).sum(axis=1), calls)


def compute_partial_aucs(calls: Calls, specificity: float = LEVEL) -> np.ndarray:  # (rounds,)
    """Compute the area where the specificity is at least this, scaled so that chance is 0.5 and the maximum 1
    (McClish, Medical Decision Making 1989)."""
    rates, sensitivities = calls.false_positive_rates, calls.sensitivities
    limit = 1 - specificity
    starts, ends = np.minimum(rates[:, :-1], limit), np.minimum(rates[:, 1:], limit)
    widths, steps = np.diff(rates), np.diff(sensitivities)
    slopes = np.divide(steps, widths, out=np.zeros_like(steps), where=widths > 0)
    heights = 2 * sensitivities[:, :-1] + slopes * (ends - starts)
    area = ((ends - starts) * heights).sum(axis=1) / 2
    chance = limit**2 / 2
    scaled: np.ndarray = (1 + (area - chance) / (limit - chance)) / 2
    return scaled


def compute_sensitivities_at(calls: Calls, specificity: float = LEVEL) -> np.ndarray:  # (rounds,)
    """Find the highest sensitivity with at least this specificity."""
    allowed = np.maximum((calls.specificities >= specificity).sum(axis=1), 1) - 1
    return _pick(calls.sensitivities, allowed, calls)


def compute_specificities_at(calls: Calls, sensitivity: float = LEVEL) -> np.ndarray:  # (rounds,)
    """Find the highest specificity with at least this sensitivity."""
    reached = np.minimum((calls.sensitivities < sensitivity).sum(axis=1), calls.hits.shape[1] - 1)
    return _pick(calls.specificities, reached, calls)


def _pick(values: np.ndarray, places: np.ndarray, calls: Calls) -> np.ndarray:
    """Pick the value at one place of each row."""
    return _hide_single_classes(np.take_along_axis(values, places[:, None], axis=1)[:, 0], calls)


def _hide_single_classes(values: np.ndarray, calls: Calls) -> np.ndarray:  # (rounds,)
    """Replace the value of a resample with one class by NaN."""
    return np.where((calls.hits[:, -1] > 0) & (calls.alarms[:, -1] > 0), values, np.nan)


@dataclass(frozen=True)
class Band:
    """A pointwise 95 % band of a curve, from resampled patients."""

    at: np.ndarray  # (points,)
    low: np.ndarray  # (points,)
    high: np.ndarray  # (points,)


def compute_roc_band(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Band:
    """Compute a band of the sensitivity at each false-positive rate."""
    calls = count_calls(labels, scores, resample_patients(patients, _BAND_ROUNDS))
    at = np.linspace(0, 1, 201)
    rows = zip(calls.false_positive_rates, calls.sensitivities, strict=True)
    return _summarize_band(at, [np.interp(at, rates, heights) for rates, heights in rows if np.isfinite(heights[-1])])


def compute_precision_recall_band(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Band:
    """Compute a band of the precision at the threshold that reaches each sensitivity."""
    calls = count_calls(labels, scores, resample_patients(patients, _BAND_ROUNDS))
    at = np.linspace(0, 1, 201)[1:]
    rows = zip(calls.sensitivities, calls.precisions, strict=True)
    curves = [
        precisions[np.minimum(np.searchsorted(reached, at), reached.size - 1)]
        for reached, precisions in rows
        if np.isfinite(reached[-1])
    ]
    return _summarize_band(at, curves)


def _summarize_band(at: np.ndarray, curves: list[np.ndarray]) -> Band:
    low, high = np.nanquantile(curves, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return Band(at, low, high)
