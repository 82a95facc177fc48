"""The figures of one trained model on its test split, each with an interval that knows the patient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tfm.analysis.trained import Trained
from tfm.metrics.binary import Confusion, Interval, auc, clustered_interval, confusion

_SEED = 0  # an interval belongs to the predictions, not to anybody's choice of seed
RATES = ("accuracy", "sensitivity", "specificity", "f1")


@dataclass(frozen=True)
class Judgement:
    auc: Interval
    rates: dict[str, Interval]  # RATES, at the threshold chosen on validation
    confusion: Confusion

    def values(self) -> dict[str, float | int | None]:
        """Flat and plain, for a result; None where a figure is not defined."""
        figures = {"auc": self.auc, **self.rates}
        flat = {name: interval.value for name, interval in figures.items()}
        flat |= {f"{name}_low": interval.low for name, interval in figures.items()}
        flat |= {f"{name}_high": interval.high for name, interval in figures.items()}
        return {name: value if math.isfinite(value) else None for name, value in flat.items()} | asdict(self.confusion)


def judge(trained: Trained) -> Judgement:
    labels = trained.predictions["label"].to_numpy()
    probs = trained.predictions["prob"].to_numpy()
    patients = trained.predictions["patient_id"].to_numpy()

    def rate(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
        return lambda labels, probs: getattr(confusion(labels, probs, trained.threshold), name)

    return Judgement(
        auc=clustered_interval(auc, patients, labels, probs, seed=_SEED),
        rates={name: clustered_interval(rate(name), patients, labels, probs, seed=_SEED) for name in RATES},
        confusion=confusion(labels, probs, trained.threshold),
    )


def with_interval(interval: Interval) -> str:
    return f"{number(interval.value)} ({number(interval.low)} to {number(interval.high)})"


def number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
