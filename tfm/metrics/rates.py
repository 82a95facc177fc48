"""The metrics of calls at one threshold, each with an interval over patients."""

from __future__ import annotations

import math

import numpy as np

from tfm.metrics.intervals import (
    Estimate,
    Interval,
    compute_covariances,
    compute_mean_interval,
    compute_rate_interval,
    estimate_ratio,
    find_quantile,
    sum_by_patient,
)

_UNDEFINED = Interval(math.nan, math.nan, math.nan)


def compute_rates(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> dict[str, Interval]:
    """Compute each metric; NaN where it is undefined.

    Args:
        truth: (n,) bool, malignant
        called: (n,) bool, called malignant
        patients: (n,)
    """
    sensitivity = compute_rate_interval(called[truth], patients[truth])
    specificity = compute_rate_interval(~called[~truth], patients[~truth])
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": compute_rate_interval(called == truth, patients),
        "balanced_accuracy": _average(sensitivity, specificity, _correlate_rates(truth, called, patients)),
        "precision": compute_rate_interval(truth[called], patients[called]),
        "f1": _compute_f1(truth, called, patients),
        "mcc": _compute_mcc(truth, called, patients),
    }


def _compute_f1(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> Interval:
    """F1 is a ratio of sums over images."""
    if not (truth.any() or called.any()):
        return _UNDEFINED
    return compute_mean_interval(estimate_ratio(2.0 * (truth & called), truth.astype(float) + called, patients))


def _compute_mcc(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> Interval:
    """Compute Matthews' correlation of labels and calls, with Fisher's z. At −1 or 1 it has no interval."""
    if truth.all() or called.all() or not truth.any() or not called.any():
        return _UNDEFINED
    scaled = [(values - values.mean()) / values.std() for values in (truth, called)]
    value = float(np.mean(scaled[0] * scaled[1]))
    if math.isclose(abs(value), 1):
        return Interval(round(value), math.nan, math.nan)
    influences = scaled[0] * scaled[1] - value * (scaled[0] ** 2 + scaled[1] ** 2) / 2
    estimate = Estimate(
        np.array([value]), sum_by_patient(influences[:, None] / truth.size, patients), np.unique(patients).size
    )
    error = math.sqrt(float(compute_covariances(estimate, estimate)[0, 0]))
    half = find_quantile(estimate.trials - 1) * error / (1 - value**2)
    return Interval(value, math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))


def _correlate_rates(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> float:
    """Correlate sensitivity and specificity over the patients, some of whom have images of both classes."""
    rates = [
        estimate_ratio(1.0 * (part & right), 1.0 * part, patients)
        for part, right in ((truth, called), (~truth, ~called))
        if part.any()
    ]
    if len(rates) < 2:
        return 0.0
    variances = [float(compute_covariances(rate, rate)[0, 0]) for rate in rates]
    product = math.sqrt(variances[0] * variances[1])
    return float(compute_covariances(*rates)[0, 0]) / product if product else 0.0


def _average(first: Interval, second: Interval, correlation: float) -> Interval:
    """Average two rates. Each side of the interval is put together from theirs (Zou and Donner, Statistics in Medicine
    2008), so that it holds where a rate is 0 or 1 too."""

    def join(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 + 2 * correlation * one * other)) / 2

    value = (first.value + second.value) / 2
    below = join(first.value - first.low, second.value - second.low)
    above = join(first.high - first.value, second.high - second.value)
    return Interval(value, value - below, value + above)
