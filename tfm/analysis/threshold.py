"""The rules that choose the threshold for calling an image malignant. The threshold is always chosen on validation."""

from __future__ import annotations

import numpy as np

from tfm.metrics.classification import find_sensitivity_threshold, find_youden_threshold
from tfm.training.settings import SENSITIVITY, YOUDEN


def choose_threshold(rule: str, labels: np.ndarray, probs: np.ndarray) -> float:
    """`labels` and `probs` must be those of validation."""
    if rule == YOUDEN:
        return find_youden_threshold(labels, probs)
    return find_sensitivity_threshold(labels, probs, float(rule.removeprefix(SENSITIVITY)))


def format_threshold(threshold: float, probs: np.ndarray) -> str:
    """Round to the fewest decimals, at least three, that leave every decision on `probs` unchanged."""
    rounded = (f"{threshold:.{decimals}f}" for decimals in range(3, 17))
    equivalent = (text for text in rounded if np.array_equal(probs >= float(text), probs >= threshold))
    return next(equivalent, repr(threshold))


def describe_rule(rule: str) -> str:
    if rule == YOUDEN:
        return "Youden: largest sensitivity + specificity"
    return f"sensitivity of at least {rule.removeprefix(SENSITIVITY)}"
