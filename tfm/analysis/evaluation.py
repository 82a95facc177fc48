"""The metrics of one trained model on its test or validation split, each with a patient-clustered interval."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from tfm.analysis.calibration import calibrate_split
from tfm.analysis.format_intervals import flatten_intervals
from tfm.analysis.settings import Split
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.metrics.bootstrap import bootstrap_weighted
from tfm.metrics.calibration import compute_calibration_error
from tfm.metrics.classification import Confusion, compute_confusion
from tfm.metrics.curves import (
    compute_average_precisions,
    compute_partial_aucs,
    compute_sensitivities_at,
    compute_specificities_at,
    count_calls,
)
from tfm.metrics.intervals import Interval, compute_auc_interval, compute_mean_interval, estimate_auc, estimate_ratio
from tfm.metrics.rates import compute_rates

# By name in results and files: the name in tables, in their order.
METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "partial_auc": "partial AUC (specificity ≥ 90 %)",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "f1": "F1",
    "mcc": "Matthews correlation (MCC)",
    "sensitivity_at_90_specificity": "sensitivity at 90 % specificity",
    "specificity_at_90_sensitivity": "specificity at 90 % sensitivity",
    "brier": "Brier score",
    "calibration_error": "expected calibration error",
    "brier_calibrated": "Brier score, calibrated",
    "calibration_error_calibrated": "expected calibration error, calibrated",
}
METHODS = (
    "95 % intervals over patients: AUC, F1 and Brier scores on the logit scale; rates by Wilson (exactly 0 or 1: "
    "Clopper-Pearson, for the AUC over pairs of patients), balanced accuracy from both rates; MCC by Fisher's z; "
    "the others by a BCa bootstrap of patients; the calibration error has no interval, because no bootstrap of it "
    "covers the truth as often as it claims"
)


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


def evaluate(model: TrainedModel, split: Split = "test", *, resample: bool = True) -> Evaluation:
    """Compute the metrics of the units of a split. Threshold and temperature are those of validation.

    Args:
        resample: Also compute the metrics that need a bootstrap.
    """
    table = model.select_split(split)
    labels, probs, names = (table[name].to_numpy() for name in ("label", "prob", "patient_id"))
    patients = np.unique(names, return_inverse=True)[1]  # each metric sorts them, and numbers take a tenth of the time
    calibrated = calibrate_split(model, split)
    metrics = {
        "auc": _compute_auc(labels, probs, patients),
        **compute_rates(labels == 1, probs >= model.threshold, patients),
        "brier": _compute_brier(labels, probs, patients),
        "calibration_error": _keep_value(compute_calibration_error(labels, probs)),
        "brier_calibrated": _compute_brier(labels, calibrated, patients),
        "calibration_error_calibrated": _keep_value(compute_calibration_error(labels, calibrated)),
    }
    if resample:
        metrics |= _resample(labels, probs, patients)
    return Evaluation(
        model=model,
        split=split,
        metrics={name: metrics[name] for name in METRICS if name in metrics},
        confusion=compute_confusion(labels, probs, model.threshold),
    )


def _compute_auc(labels: np.ndarray, probs: np.ndarray, patients: np.ndarray) -> Interval:
    if labels.all() or not labels.any():
        return Interval(math.nan, math.nan, math.nan)
    return compute_auc_interval(estimate_auc(labels, probs, patients))


def _compute_brier(labels: np.ndarray, probs: np.ndarray, patients: np.ndarray) -> Interval:
    return compute_mean_interval(estimate_ratio((probs - labels) ** 2, np.ones(labels.size), patients))


def _keep_value(value: float) -> Interval:
    return Interval(value, math.nan, math.nan)


def _resample(labels: np.ndarray, probs: np.ndarray, patients: np.ndarray) -> dict[str, Interval]:
    metrics = {
        "average_precision": compute_average_precisions,
        "partial_auc": compute_partial_aucs,
        "sensitivity_at_90_specificity": compute_sensitivities_at,
        "specificity_at_90_sensitivity": compute_specificities_at,
    }

    def compute(weights: np.ndarray) -> np.ndarray:  # (rounds, metrics)
        calls = count_calls(labels, probs, weights)
        return np.stack([compute_metric(calls) for compute_metric in metrics.values()], axis=1)

    return dict(zip(metrics, bootstrap_weighted(compute, patients), strict=True))
