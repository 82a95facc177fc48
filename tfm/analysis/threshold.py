"""The rules by which the threshold is chosen from which on a probability is called malignant: always on validation."""

from __future__ import annotations

import numpy as np

from tfm.metrics.classification import find_sensitivity_threshold, find_youden_threshold
from tfm.training.settings import SENSITIVITY, YOUDEN


def choose_threshold(rule: str, labels: np.ndarray, probs: np.ndarray) -> float:
    """`labels` and `probs` are those of validation."""
    if rule == YOUDEN:
        return find_youden_threshold(labels, probs)
    return find_sensitivity_threshold(labels, probs, float(rule.removeprefix(SENSITIVITY)))


def format_threshold(threshold: float, probs: np.ndarray) -> str:
    """With as many decimals, three at least, as it takes to call the same of these images malignant."""
    shorter = (f"{threshold:.{decimals}f}" for decimals in range(3, 17))
    same = (text for text in shorter if np.array_equal(probs >= float(text), probs >= threshold))
    return next(same, repr(threshold))


def describe_rule(rule: str) -> str:
    if rule == YOUDEN:
        return "Youden: largest sensitivity + specificity"
    return f"for a sensitivity of {rule.removeprefix(SENSITIVITY)} at least"
