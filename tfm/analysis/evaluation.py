"""The metrics of one trained model on its test split, each with a patient-clustered interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from tfm.analysis.format_intervals import flatten_intervals
from tfm.analysis.trained_run import TrainedModel
from tfm.metrics.classification import Confusion, compute_confusion
from tfm.metrics.intervals import (
    Interval,
    compute_auc_interval,
    compute_exact_interval,
    compute_mean_interval,
    compute_rate_interval,
    estimate_auc,
    estimate_ratio,
)


@dataclass(frozen=True)
class Evaluation:
    auc: Interval
    rates: dict[str, Interval]  # at the threshold chosen on validation
    confusion: Confusion

    def flatten(self) -> dict[str, float | int | None]:
        return flatten_intervals({"auc": self.auc, **self.rates}) | asdict(self.confusion)


def evaluate(model: TrainedModel) -> Evaluation:
    labels, probs, patients = (model.predictions[name].to_numpy() for name in ("label", "prob", "patient_id"))
    truth, called = labels == 1, probs >= model.threshold
    return Evaluation(
        auc=compute_auc_interval(estimate_auc(labels, probs, patients)),
        rates={
            "accuracy": compute_rate_interval(called == truth, patients),
            "sensitivity": compute_rate_interval(called[truth], patients[truth]),
            "specificity": compute_rate_interval(~called[~truth], patients[~truth]),
            "f1": _compute_f1_interval(truth, called, patients),
        },
        confusion=compute_confusion(labels, probs, model.threshold),
    )


def _compute_f1_interval(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> Interval:
    """F1 is a ratio of sums over images. At 0 or 1 it has no interval: it is no share of independent images."""
    interval = compute_mean_interval(estimate_ratio(2.0 * (truth & called), truth.astype(float) + called, patients))
    return compute_exact_interval(interval.value, 0) if interval.value in (0, 1) else interval
