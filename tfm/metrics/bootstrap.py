"""Bootstrap intervals over patients, for metrics that are no sum over images, such as medians, partial AUCs and FROC
sensitivities. By hand because scipy's bootstrap knows no clusters and no rounds in which a metric is undefined."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from tfm.core.errors import DataError
from tfm.core.randomness import generator_at
from tfm.metrics.intervals import CONFIDENCE, Interval

_SEED = 0  # fixed: an interval belongs to the data, not to a run's seed


def bootstrap_interval(
    statistic: Callable[..., float],
    patients: np.ndarray,
    *columns: np.ndarray,
    seed: int = _SEED,
    rounds: int = 2000,
) -> Interval:
    """Run a BCa cluster bootstrap of `statistic(*columns)`: resample patients, each with all its rows.

    BCa (Efron 1987) corrects the percentiles for bias and skewness: plain percentiles of a value near its limit are too
    high. Rounds in which the statistic is undefined (NaN or DataError, as with one class only) are dropped.
    """
    names, patient_of_row = np.unique(np.asarray(patients), return_inverse=True)
    columns = tuple(np.asarray(column) for column in columns)
    if any(column.shape[:1] != patient_of_row.shape for column in columns):
        raise DataError(
            "the bootstrap columns and the patients differ in length",
            hint="pass one patient and one value per column for each image",
        )
    value = float(statistic(*columns))
    if names.size < 2:  # resampling a single patient would give an interval of width 0
        return Interval(value, math.nan, math.nan)

    def recompute(counts: np.ndarray) -> np.ndarray:
        """Compute the statistic for each row of counts (rounds, patients), without the undefined ones."""
        values = np.full(len(counts), math.nan)
        for number, row_counts in enumerate(counts[:, patient_of_row]):
            rows = np.repeat(np.arange(row_counts.size), row_counts)
            with contextlib.suppress(DataError):
                values[number] = statistic(*(column[rows] for column in columns))
        defined: np.ndarray = values[~np.isnan(values)]
        return defined

    drawn = recompute(_draw_counts(names.size, rounds, seed))
    return _summarize(value, drawn, recompute(_leave_one_out(names.size)), rounds)


def bootstrap_weighted(
    compute: Callable[[np.ndarray], np.ndarray], patients: np.ndarray, rounds: int = 2000
) -> list[Interval]:
    """Run the same bootstrap of several metrics that are computed for all resamples at once.

    Args:
        compute: maps how often each image is in each resample, (rounds, n), to values (rounds, metrics). A value is
            NaN where it is undefined.
        patients: (n,)
    """
    names, patient_of_row = np.unique(np.asarray(patients), return_inverse=True)
    (values,) = compute(np.ones((1, patient_of_row.size)))
    if names.size < 2:
        return [Interval(float(value), math.nan, math.nan) for value in values]
    drawn, without_one = (
        compute(np.take(counts, patient_of_row, axis=1))
        for counts in (_draw_counts(names.size, rounds, _SEED), _leave_one_out(names.size))
    )
    return [
        _summarize(float(value), own[~np.isnan(own)], left[~np.isnan(left)], rounds)
        for value, own, left in zip(values, drawn.T, without_one.T, strict=True)
    ]


def resample_patients(patients: np.ndarray, rounds: int) -> np.ndarray:  # (rounds, n)
    """Draw how often each image is in each resample of the patients."""
    names, patient_of_row = np.unique(np.asarray(patients), return_inverse=True)
    weights: np.ndarray = np.take(_draw_counts(names.size, rounds, _SEED), patient_of_row, axis=1)
    return weights


def _draw_counts(patients: int, rounds: int, seed: int) -> np.ndarray:  # (rounds, patients)
    return generator_at(seed, "bootstrap").multinomial(patients, np.full(patients, 1 / patients), size=rounds)


def _leave_one_out(patients: int) -> np.ndarray:  # (patients, patients)
    return 1 - np.eye(patients, dtype=np.int64)


def _summarize(value: float, drawn: np.ndarray, without_one: np.ndarray, rounds: int) -> Interval:
    """Compute the BCa interval; NaN if the statistic is undefined in most rounds."""
    if 2 * drawn.size < rounds:
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(drawn, _find_levels(value, drawn, without_one))
    return Interval(value, float(low), float(high))


def _find_levels(value: float, drawn: np.ndarray, without_one: np.ndarray) -> np.ndarray:  # (2,)
    """Find the shares of the drawn values below the ends of the BCa interval.

    Args:
        drawn: (rounds,) the statistic of resampled patients.
        without_one: (patients,) the statistic without each patient in turn.
    """
    same = np.isclose(drawn, value, rtol=1e-9)  # equal but for the order of the rows that were summed up
    below = np.mean((drawn < value) & ~same) + np.mean(same) / 2
    bias = norm.ppf(np.clip(below, 1 / drawn.size, 1 - 1 / drawn.size))
    deviations = without_one.mean() - without_one if without_one.size else np.zeros(1)
    length = np.linalg.norm(deviations)
    skewness = np.sum((deviations / length) ** 3) / 6 if length else 0.0
    ends = bias + norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    levels: np.ndarray = norm.cdf(bias + ends / (1 - skewness * ends))
    return levels
