"""The metrics of one trained model on its test split, each with a patient-clustered interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tfm.analysis.format_intervals import flatten_intervals
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

    def flatten(self) -> dict[str, float | int | None]:
        return flatten_intervals({"auc": self.auc, **self.rates}) | asdict(self.confusion)


def evaluate(model: TrainedModel) -> Evaluation:
    labels, probs, patients = (model.predictions[name].to_numpy() for name in ("label", "prob", "patient_id"))
    trials = count_independent_trials(labels, patients)

    def build_rate(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
        return lambda labels, probs: getattr(compute_confusion(labels, probs, model.threshold), name)

    def estimate(name: str, statistic: Callable[[np.ndarray, np.ndarray], float]) -> Interval:
        result = bootstrap_interval(statistic, patients, labels, probs)
        return compute_exact_interval(result.value, trials[name]) if result.value in (0, 1) else result

    return Evaluation(
        auc=estimate("auc", compute_auc),
        rates={name: estimate(name, build_rate(name)) for name in RATES},
        confusion=compute_confusion(labels, probs, model.threshold),
    )


def count_independent_trials(labels: np.ndarray, patients: np.ndarray) -> dict[str, int]:
    """Count the patients that each metric rests on.

    The AUC is a probability over pairs, so its trials are disjoint pairs of patients: a malignant image of one and a
    benign image of the other. F1 is not a share of independent trials: 0.
    """
    malignant, benign = (set(patients[labels == label]) for label in (1, 0))
    total = len(malignant | benign)
    pairs = min(len(malignant), len(benign), total // 2)
    return {"auc": pairs, "accuracy": total, "sensitivity": len(malignant), "specificity": len(benign), "f1": 0}
