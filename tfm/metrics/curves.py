"""ROC and precision-recall curves of scores."""

from __future__ import annotations

import numpy as np


def compute_roc(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 − specificity and sensitivity at each threshold, from none called malignant to all."""
    hits, alarms = _count_calls(labels, scores)
    return np.r_[0, alarms] / alarms[-1], np.r_[0, hits] / hits[-1]


def compute_precision_recall(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and sensitivity (recall) at each score, the highest first."""
    hits, alarms = _count_calls(labels, scores)
    return hits / (hits + alarms), hits / hits[-1]


def _count_calls(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the malignant and the benign images at or above each score, the highest first."""
    thresholds, group = np.unique(scores, return_inverse=True)
    positives = np.bincount(group, labels == 1, thresholds.size)[::-1].cumsum()
    negatives = np.bincount(group, labels != 1, thresholds.size)[::-1].cumsum()
    return positives, negatives
