"""Classification metrics: AUC, thresholds and confusion counts. Arrays in, numbers out; no files and no runs.
Their confidence intervals are in `intervals`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfm.core.errors import DataError


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
    def precision(self) -> float:
        return _divide(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float:
        return _divide(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def compute_confusion(labels: np.ndarray, probs: np.ndarray, threshold: float) -> Confusion:
    truth, probs = validate_scores(labels, probs)
    positive = probs >= threshold
    return Confusion(
        tp=int(np.sum(positive & truth)),
        fp=int(np.sum(positive & ~truth)),
        tn=int(np.sum(~positive & ~truth)),
        fn=int(np.sum(~positive & truth)),
    )


def compute_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the probability that a malignant image scores above a benign one; a tie counts half."""
    truth, scores = validate_scores(labels, scores, both_classes=True)
    thresholds, group = np.unique(scores, return_inverse=True)
    positives = np.bincount(group, truth, thresholds.size)
    negatives = np.bincount(group, ~truth, thresholds.size)
    below = negatives.cumsum() - negatives / 2
    return float(positives @ below / (positives.sum() * negatives.sum()))


def find_youden_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """Return the observed probability with the largest sensitivity + specificity; at a tie, the lowest."""
    truth, probs = validate_scores(labels, probs, both_classes=True)
    thresholds, group = np.unique(probs, return_inverse=True)
    positives = np.bincount(group, truth)
    negatives = np.bincount(group, ~truth)
    # hits / P − alarms / N, times P·N: in integers, so that ties are exact.
    hits = positives[::-1].cumsum()[::-1]
    alarms = negatives[::-1].cumsum()[::-1]
    return float(thresholds[np.argmax(hits * negatives.sum() - alarms * positives.sum())])


def find_sensitivity_threshold(labels: np.ndarray, probs: np.ndarray, wanted: float) -> float:
    """Return the highest probability with this sensitivity: it calls the fewest benign images malignant."""
    truth, probs = validate_scores(labels, probs, both_classes=True)
    malignant = np.sort(probs[truth])[::-1]
    # Compare shares, as sensitivity is computed: 7 / 100 is 0.07, but 0.07 × 100 is more than 7.
    return float(malignant[np.searchsorted(np.arange(1, malignant.size + 1) / malignant.size, wanted)])


def validate_scores(
    labels: np.ndarray, scores: np.ndarray, *, both_classes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
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
