"""Classification metrics: AUC, thresholds, confusion counts, and confidence intervals clustered by patient.
Arrays in, numbers out; no files and no runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfm.core.errors import DataError
from tfm.core.randomness import generator_at

CONFIDENCE = 0.95
_SEED = 0  # fixed: an interval belongs to the data, not to a run's seed


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; low and high are NaN if the data are too few."""

    value: float
    low: float
    high: float

    def flatten(self, name: str) -> dict[str, float | None]:
        """Return {name, name_low, name_high}, ready for JSON: None instead of NaN."""
        values = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return {key: float(value) if math.isfinite(value) else None for key, value in values.items()}


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold. A rate without a denominator is NaN, so that nobody averages it as 0."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def accuracy(self) -> float:
        return _divide(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def sensitivity(self) -> float:
        return _divide(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        return _divide(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float:
        return _divide(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def compute_confusion(labels: np.ndarray, probs: np.ndarray, threshold: float) -> Confusion:
    truth, probs = _validate(labels, probs)
    positive = probs >= threshold
    return Confusion(
        tp=int(np.sum(positive & truth)),
        fp=int(np.sum(positive & ~truth)),
        tn=int(np.sum(~positive & ~truth)),
        fn=int(np.sum(~positive & truth)),
    )


def compute_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the probability that a malignant image scores above a benign one; a tie counts half."""
    truth, scores = _validate(labels, scores, both_classes=True)
    return float(_compute_weighted_auc(truth, scores, np.ones((1, truth.size)))[0])


def find_youden_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """Return the observed probability with the largest sensitivity + specificity; at a tie, the lowest."""
    truth, probs = _validate(labels, probs, both_classes=True)
    thresholds, group = np.unique(probs, return_inverse=True)
    positives = np.bincount(group, truth)
    negatives = np.bincount(group, ~truth)
    # hits / P − alarms / N, times P·N: in integers, so that ties are exact.
    hits = positives[::-1].cumsum()[::-1]
    alarms = negatives[::-1].cumsum()[::-1]
    return float(thresholds[np.argmax(hits * negatives.sum() - alarms * positives.sum())])


def find_sensitivity_threshold(labels: np.ndarray, probs: np.ndarray, wanted: float) -> float:
    """Return the highest probability with this sensitivity: it calls the fewest benign images malignant."""
    truth, probs = _validate(labels, probs, both_classes=True)
    malignant = np.sort(probs[truth])[::-1]
    # Compare shares, as sensitivity is computed: 7 / 100 is 0.07, but 0.07 × 100 is more than 7.
    return float(malignant[np.searchsorted(np.arange(1, malignant.size + 1) / malignant.size, wanted)])


def bootstrap_interval(
    statistic: Callable[..., float],
    patients: np.ndarray,
    *columns: np.ndarray,
    seed: int = _SEED,
    rounds: int = 2000,
) -> Interval:
    """Run a percentile cluster bootstrap of `statistic(*columns)`: resample patients, each with all its rows.

    Rounds in which the statistic is undefined (NaN or DataError, as with one class only) are dropped.
    """
    names, patient_of_row = np.unique(np.asarray(patients), return_inverse=True)
    columns = tuple(np.asarray(column) for column in columns)
    if any(column.shape[:1] != patient_of_row.shape for column in columns):
        raise DataError(
            "the bootstrap columns and the patients differ in length",
            hint="pass one patient and one value per column for each image",
        )
    value = statistic(*columns)
    if names.size < 2:  # resampling a single patient would give an interval of width 0
        return Interval(value, math.nan, math.nan)
    shares = np.full(names.size, 1 / names.size)
    counts = generator_at(seed, "bootstrap").multinomial(names.size, shares, size=rounds)  # (rounds, patients)
    weights = counts[:, patient_of_row]  # (rounds, rows)
    if statistic is compute_auc:  # used most: all rounds at once are 3 × as fast as one by one
        values = _compute_weighted_auc(*_validate(*columns), weights)
    else:
        values = np.full(rounds, math.nan)
        for number, row_counts in enumerate(weights):
            rows = np.repeat(np.arange(row_counts.size), row_counts)
            with contextlib.suppress(DataError):
                values[number] = statistic(*(column[rows] for column in columns))
    defined = values[~np.isnan(values)]
    if 2 * defined.size < rounds:
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def compute_exact_interval(value: float, trials: int) -> Interval:
    """Compute the Clopper-Pearson interval of a share that is 0 or 1: its bootstrap interval has width 0."""
    if not trials:
        return Interval(value, math.nan, math.nan)
    width = 1 - ((1 - CONFIDENCE) / 2) ** (1 / trials)
    return Interval(value, 1 - width, 1.0) if value == 1 else Interval(value, 0.0, width)


def _compute_weighted_auc(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the AUC for each row of weights (rounds, n); NaN if a row leaves only one class."""
    order = np.argsort(scores, kind="stable")
    truth, weights = truth[order], weights[:, order]
    tie_starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positives = np.add.reduceat(weights * truth, tie_starts, axis=1).astype(float)
    negatives = np.add.reduceat(weights * ~truth, tie_starts, axis=1).astype(float)
    below = negatives.cumsum(axis=1) - negatives / 2
    with np.errstate(invalid="ignore"):
        values: np.ndarray = (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
    return values


def _validate(labels: np.ndarray, scores: np.ndarray, *, both_classes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as (n,) bool and scores as (n,) float64, or raise a DataError that says what is wrong."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or labels.size == 0:
        raise DataError(
            f"labels {labels.shape} and scores {scores.shape} do not match",
            hint="pass one label and one score per image, for at least one image",
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("some labels are neither 0 (benign) nor 1 (malignant)", hint="check the label column")
    if not np.isfinite(scores).all():
        raise DataError(
            "some scores are not finite numbers", hint="training diverged: train again with a lower learning rate"
        )
    truth = labels.astype(bool)
    if both_classes and (truth.all() or not truth.any()):
        only = "malignant" if truth.all() else "benign"
        raise DataError(
            f"all {truth.size} images are {only}: AUC needs both classes",
            hint="choose a split or subset with benign and malignant images",
        )
    return truth, scores
