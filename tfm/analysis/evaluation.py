"""The metrics of one trained model on its test or validation split, each with a patient-clustered interval."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

import numpy as np

from tfm.analysis.format_intervals import flatten_intervals
from tfm.analysis.settings import Split
from tfm.analysis.trained_run import Protocol, TrainedModel
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

# By name in results and files: the name in tables.
METRICS = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "f1": "F1",
}
RANKED = ("auc", "sensitivity", "specificity")  # what a ranking of models shows


@dataclass(frozen=True)
class Evaluation:
    model: TrainedModel
    split: Split
    metrics: dict[str, Interval]  # names as in METRICS; a value is NaN where the metric is undefined
    confusion: Confusion  # at the threshold chosen on validation

    @property
    def auc(self) -> Interval:
        return self.metrics["auc"]

    @property
    def protocol(self) -> Protocol:
        return self.model.describe_split(self.split)

    @property
    def labels(self) -> np.ndarray:  # (units,) 0 or 1
        return self.model.select_split(self.split)["label"].to_numpy()

    @property
    def probs(self) -> np.ndarray:  # (units,)
        return self.model.select_split(self.split)["prob"].to_numpy()

    @property
    def patients(self) -> np.ndarray:  # (units,)
        return self.model.select_split(self.split)["patient_id"].to_numpy()

    @property
    def has_both_classes(self) -> bool:
        return bool(0 < self.labels.sum() < self.labels.size)

    def flatten(self) -> dict[str, float | int | None]:
        return flatten_intervals(self.metrics) | asdict(self.confusion)


def evaluate(model: TrainedModel, split: Split = "test", metrics: Collection[str] = tuple(METRICS)) -> Evaluation:
    """Compute these metrics on the units of the split, at the threshold that was chosen on validation."""
    table = model.select_split(split)
    labels, probs, patients = (table[name].to_numpy() for name in ("label", "prob", "patient_id"))
    truth, called = labels == 1, probs >= model.threshold
    compute = {
        "auc": lambda: compute_auc_interval(estimate_auc(labels, probs, patients)),
        "accuracy": lambda: compute_rate_interval(called == truth, patients),
        "sensitivity": lambda: compute_rate_interval(called[truth], patients[truth]),
        "specificity": lambda: compute_rate_interval(~called[~truth], patients[~truth]),
        "f1": lambda: _compute_f1_interval(truth, called, patients),
    }
    return Evaluation(
        model=model,
        split=split,
        metrics={name: compute[name]() for name in METRICS if name in metrics},
        confusion=compute_confusion(labels, probs, model.threshold),
    )


def _compute_f1_interval(truth: np.ndarray, called: np.ndarray, patients: np.ndarray) -> Interval:
    """F1 is a ratio of sums over images. At 0 or 1 it has no interval: it is no share of independent images."""
    interval = compute_mean_interval(estimate_ratio(2.0 * (truth & called), truth.astype(float) + called, patients))
    return compute_exact_interval(interval.value, 0) if interval.value in (0, 1) else interval
