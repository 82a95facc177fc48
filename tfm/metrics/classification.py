"""How well probabilities tell malignant from benign: AUC, thresholds, confusion, intervals that know the patient.

Nothing here reads files or knows what a run is; arrays go in, numbers come out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfm.core.errors import DataError
from tfm.core.randomness import generator_at

CONFIDENCE = 0.95
_SEED = 0  # of an interval: it belongs to what was measured, not to anybody's choice of seed


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; low and high are NaN where the data cannot carry one."""

    value: float
    low: float
    high: float

    def flatten(self, name: str) -> dict[str, float | None]:
        """For a program: by name, name_low and name_high; None, which JSON has a word for, where one is not defined."""
        parts = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return {part: float(value) if math.isfinite(value) else None for part, value in parts.items()}


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold. A rate without a denominator is NaN: a silent 0 would be averaged as if measured."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def accuracy(self) -> float:
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def sensitivity(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def compute_confusion(labels: np.ndarray, probs: np.ndarray, threshold: float) -> Confusion:
    truth, probs = _checked(labels, probs)
    called = probs >= threshold
    return Confusion(
        tp=int(np.sum(called & truth)),
        fp=int(np.sum(called & ~truth)),
        tn=int(np.sum(~called & ~truth)),
        fn=int(np.sum(~called & truth)),
    )


def compute_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a malignant image scores above a benign one; a tie counts half."""
    truth, scores = _checked(labels, scores, both_classes=True)
    return float(_weighted_auc(truth, scores, np.ones((1, truth.size)))[0])


def find_youden_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """The observed probability with the largest sensitivity + specificity; of equals the lowest, which misses least."""
    truth, probs = _checked(labels, probs, both_classes=True)
    thresholds, group = np.unique(probs, return_inverse=True)
    positives = np.bincount(group, truth)
    negatives = np.bincount(group, ~truth)
    # Whole numbers, so that equals are equal: hits / P − alarms / N, times P·N.
    hits = positives[::-1].cumsum()[::-1]
    alarms = negatives[::-1].cumsum()[::-1]
    return float(thresholds[np.argmax(hits * negatives.sum() - alarms * positives.sum())])


def find_sensitivity_threshold(labels: np.ndarray, probs: np.ndarray, wanted: float) -> float:
    """The highest probability that calls at least this share of the malignant images: so it calls the fewest benign."""
    truth, probs = _checked(labels, probs, both_classes=True)
    malignant = np.sort(probs[truth])[::-1]
    # Compared as the sensitivity itself is computed: 7 of 100 are 0.07, where 0.07 × 100 is more than 7.
    return float(malignant[np.searchsorted(np.arange(1, malignant.size + 1) / malignant.size, wanted)])


def bootstrap_interval(
    statistic: Callable[..., float],
    patients: np.ndarray,
    *columns: np.ndarray,
    seed: int = _SEED,
    rounds: int = 2000,
) -> Interval:
    """Percentile bootstrap of `statistic(*columns)` that draws patients, each with all her rows.

    Rounds in which the statistic is undefined (NaN or DataError, as with one class only) are dropped.
    """
    names, patient_of_row = np.unique(np.asarray(patients), return_inverse=True)
    columns = tuple(np.asarray(column) for column in columns)
    if any(column.shape[:1] != patient_of_row.shape for column in columns):
        raise DataError(
            "the columns of a bootstrap differ in length from the patients",
            hint="give one patient and one value of each column per image",
        )
    value = statistic(*columns)
    if names.size < 2:  # one patient drawn again and again would give an interval of no width
        return Interval(value, math.nan, math.nan)
    shares = np.full(names.size, 1 / names.size)
    counts = generator_at(seed, "bootstrap").multinomial(names.size, shares, size=rounds)  # (rounds, patients)
    weights = counts[:, patient_of_row]  # (rounds, rows)
    if statistic is compute_auc:  # the figure of every table: all rounds at once, 3 × as fast as one by one
        drawn = _weighted_auc(*_checked(*columns), weights)
    else:
        drawn = np.array([_drawn(statistic, columns, row_counts) for row_counts in weights])
    defined = drawn[~np.isnan(drawn)]
    if 2 * defined.size < rounds:
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def compute_exact_interval(value: float, trials: int) -> Interval:
    """Clopper and Pearson's, of a share that is exactly 0 or 1 in so many independent trials: there every resample
    gives the same again, and a bootstrap would tell of certainty."""
    if not trials:
        return Interval(value, math.nan, math.nan)
    reach = 1 - ((1 - CONFIDENCE) / 2) ** (1 / trials)
    return Interval(value, 1 - reach, 1.0) if value == 1 else Interval(value, 0.0, reach)


def _drawn(statistic: Callable[..., float], columns: tuple[np.ndarray, ...], row_counts: np.ndarray) -> float:
    rows = np.repeat(np.arange(row_counts.size), row_counts)
    try:
        return statistic(*(column[rows] for column in columns))
    except DataError:
        return math.nan


def _weighted_auc(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of each row of weights (rounds, n); NaN where a row leaves only one class."""
    order = np.argsort(scores, kind="stable")
    truth, weights = truth[order], weights[:, order]
    tie_starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positives = np.add.reduceat(weights * truth, tie_starts, axis=1).astype(float)
    negatives = np.add.reduceat(weights * ~truth, tie_starts, axis=1).astype(float)
    below = negatives.cumsum(axis=1) - negatives / 2
    with np.errstate(invalid="ignore"):
        won: np.ndarray = (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
    return won


def _checked(labels: np.ndarray, scores: np.ndarray, *, both_classes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Labels as (n,) bool and scores as (n,) float64, or a DataError that says what is wrong with them."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or labels.size == 0:
        raise DataError(
            f"labels {labels.shape} and scores {scores.shape} do not pair up",
            hint="give one label and one score per image, and at least one image",
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels other than 0 (benign) and 1 (malignant)", hint="look at the label column")
    if not np.isfinite(scores).all():
        raise DataError(
            "scores that are not finite numbers", hint="training diverged: try a lower learning rate and train again"
        )
    truth = labels.astype(bool)
    if both_classes and (truth.all() or not truth.any()):
        only = "malignant" if truth.all() else "benign"
        raise DataError(
            f"all {truth.size} images are {only}: AUC needs both classes",
            hint="choose a split or subset that holds benign and malignant images",
        )
    return truth, scores
