"""What each way to split would claim, beside what is true on patients that no run has seen."""

from __future__ import annotations

from dataclasses import dataclass

from tfm.analysis.format_intervals import flatten_intervals, format_interval
from tfm.analysis.predictions import read_predictions
from tfm.analysis.threshold import choose_threshold
from tfm.core.runs.run import Run
from tfm.data.settings import AUGMENT_THEN_SPLIT, BY_IMAGE, BY_PATIENT, CHOSEN_ON_TEST
from tfm.metrics.intervals import Interval, compute_auc_interval, estimate_auc
from tfm.metrics.rates import compute_rates

NAMES = {
    BY_PATIENT: "by patient (honest)",
    CHOSEN_ON_TEST: "epoch and threshold chosen on test",
    BY_IMAGE: "by image",
    AUGMENT_THEN_SPLIT: "augmented, then split by image",
}
THRESHOLD_ON_TEST = "threshold chosen on test"
COLUMNS = [
    "split",
    "AUC claimed",
    "AUC on unseen patients",
    "claimed − unseen",
    "balanced accuracy claimed",
    "on unseen patients",
]


@dataclass(frozen=True)
class Claim:
    name: str
    claimed: dict[str, Interval]  # auc, balanced_accuracy
    outside: dict[str, Interval]

    @property
    def excess(self) -> float:
        """By how much the claimed AUC is too high."""
        return self.claimed["auc"].value - self.outside["auc"].value

    def format_row(self) -> list[str]:
        auc, accuracy = ([one[name] for one in (self.claimed, self.outside)] for name in ("auc", "balanced_accuracy"))
        return [self.name, *map(format_interval, auc), f"{self.excess:+.3f}", *map(format_interval, accuracy)]

    def flatten(self) -> dict[str, object]:
        claimed = flatten_intervals({f"{name}_claimed": one for name, one in self.claimed.items()})
        return {"split": self.name, **claimed, **flatten_intervals(self.outside), "excess": self.excess}


def read_claims(run: Run) -> list[Claim]:
    """Read the claim of a run; of the honest one also what it would claim with a threshold chosen on test."""
    run.check_outputs()
    result = run.read_status().result
    claims = [_measure_claim(run, NAMES[result["way"]], result["threshold"])]
    if result["way"] == BY_PATIENT:
        claimed = read_predictions(run.predictions_file("claimed"))
        threshold = choose_threshold(result["threshold_rule"], claimed["label"].to_numpy(), claimed["prob"].to_numpy())
        claims.append(_measure_claim(run, THRESHOLD_ON_TEST, threshold))
    return claims


def _measure_claim(run: Run, name: str, threshold: float) -> Claim:
    return Claim(name, *(_measure(run, predictions, threshold) for predictions in ("claimed", "outside")))


def _measure(run: Run, predictions: str, threshold: float) -> dict[str, Interval]:
    table = read_predictions(run.predictions_file(predictions))
    labels, probs, patients = (table[column].to_numpy() for column in ("label", "prob", "patient_id"))
    rates = compute_rates(labels == 1, probs >= threshold, patients)
    return {
        "auc": compute_auc_interval(estimate_auc(labels, probs, patients)),
        "balanced_accuracy": rates["balanced_accuracy"],
    }
