"""The figures of one trained model on its test split, each with an interval that knows the patient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tfm.analysis.trained_run import TrainedModel
from tfm.metrics.classification import (
    Confusion,
    Interval,
    bootstrap_interval,
    compute_auc,
    compute_confusion,
    compute_exact_interval,
)

RATES = ("accuracy", "sensitivity", "specificity", "f1")


@dataclass(frozen=True)
class Evaluation:
    auc: Interval
    rates: dict[str, Interval]  # RATES, at the threshold chosen on validation
    confusion: Confusion

    def values(self) -> dict[str, float | int | None]:
        """Flat and plain, for a result; None where a figure is not defined."""
        figures = {"auc": self.auc, **self.rates}
        flat = {part: value for name, interval in figures.items() for part, value in interval.flatten(name).items()}
        return flat | asdict(self.confusion)


def evaluate(trained: TrainedModel) -> Evaluation:
    labels = trained.predictions["label"].to_numpy()
    probs = trained.predictions["prob"].to_numpy()
    patients = trained.predictions["patient_id"].to_numpy()

    trials = count_independent_trials(labels, patients)

    def rate(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
        return lambda labels, probs: getattr(compute_confusion(labels, probs, trained.threshold), name)

    def measured(name: str, statistic: Callable[[np.ndarray, np.ndarray], float]) -> Interval:
        found = bootstrap_interval(statistic, patients, labels, probs)
        return compute_exact_interval(found.value, trials[name]) if found.value in (0, 1) else found

    return Evaluation(
        auc=measured("auc", compute_auc),
        rates={name: measured(name, rate(name)) for name in RATES},
        confusion=compute_confusion(labels, probs, trained.threshold),
    )


def count_independent_trials(labels: np.ndarray, patients: np.ndarray) -> dict[str, int]:
    """By how many women each figure is known: the AUC, which is a chance of pairs, by as many pairs as can be made of
    different women, a malignant image of one beside a benign image of the other. F1 is no share of any trials."""
    malignant, benign = (set(patients[labels == label]) for label in (1, 0))
    women = len(malignant | benign)
    pairs = min(len(malignant), len(benign), women // 2)
    return {"auc": pairs, "accuracy": women, "sensitivity": len(malignant), "specificity": len(benign), "f1": 0}


def format_interval(interval: Interval) -> str:
    if not math.isfinite(interval.value):
        return format_number(interval.value)
    return f"{format_number(interval.value)} ({format_number(interval.low)} to {format_number(interval.high)})"


def format_number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
