"""Ways of training compared: the mean metrics of each way's runs, and paired differences on the same patients.
Each run is one random initialization and order. The intervals cover the choice of patients, not the choice of seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.analysis.explanation.explainer import ATTENTION, FOR_MALIGNANT
from tfm.analysis.explanation.scores import OUTSIDE, UNIFORM, read_scores
from tfm.analysis.format_intervals import format_interval, format_number
from tfm.analysis.trained_run import Protocol, open_trained_model
from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.metrics.classification import Interval, bootstrap_interval, compute_auc

AUC = "auc"
_LABELS = {AUC: "AUC", OUTSIDE: "outside the breast"}


@dataclass(frozen=True)
class Outcome:
    """One metric of one way."""

    mean: Interval
    each: list[float]  # run by run
    differences: dict[str, Interval]  # to each way it is compared with


@dataclass(frozen=True)
class Contrast:
    protocol: Protocol
    runs: dict[str, int]  # way → number of runs
    against: Mapping[str, list[str]]  # way → the ways it is compared with
    outcomes: dict[str, dict[str, Outcome]]  # AUC, and OUTSIDE if every run was explained → way
    explanation_note: str  # how OUTSIDE was measured, or ""

    @property
    def columns(self) -> list[str]:
        return ["way", "runs", *(_LABELS[metric] for metric in self.outcomes)]

    def format_rows(self) -> list[list[str]]:
        return [
            [way, str(count), *(format_interval(by_way[way].mean) for by_way in self.outcomes.values())]
            for way, count in self.runs.items()
        ]

    def list_values(self) -> list[dict[str, object]]:
        """List the rows for a program, with the values of each run."""
        rows: list[dict[str, object]] = [{"way": way, "runs": count} for way, count in self.runs.items()]
        for metric, by_way in self.outcomes.items():
            for way, row in zip(self.runs, rows, strict=True):
                row |= by_way[way].mean.flatten(metric) | {f"{metric}_each": by_way[way].each}
        return rows

    @property
    def difference_columns(self) -> list[str]:
        return ["way", "compared with", *(f"difference in {_LABELS[metric]}" for metric in self.outcomes)]

    def format_differences(self) -> list[list[str]]:
        return [
            [way, other, *(format_interval(by_way[way].differences[other]) for by_way in self.outcomes.values())]
            for way, other in self._pairs
        ]

    def list_differences(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = [{"way": way, "against": other} for way, other in self._pairs]
        for metric, by_way in self.outcomes.items():
            for (way, other), row in zip(self._pairs, rows, strict=True):
                row |= by_way[way].differences[other].flatten(f"{metric}_difference")
        return rows

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return [(way, other) for way in self.runs for other in self.against.get(way, [])]


@dataclass(frozen=True)
class Measurements:
    """One metric's values on the same test images, for every way."""

    patients: np.ndarray  # (n,)
    labels: np.ndarray  # (n,)
    values: dict[str, np.ndarray]  # way → (n, runs)
    statistic: Callable[[np.ndarray, np.ndarray], float]  # of labels (n,) and one run's values (n,)

    def compare(self, against: Mapping[str, list[str]]) -> dict[str, Outcome]:
        def average(labels: np.ndarray, values: np.ndarray) -> float:
            return float(np.mean([self.statistic(labels, one) for one in values.T]))

        def subtract(labels: np.ndarray, values: np.ndarray, others: np.ndarray) -> float:
            return average(labels, values) - average(labels, others)

        outcomes = {}
        for way, own in self.values.items():
            mean = bootstrap_interval(average, self.patients, self.labels, own)
            each = [self.statistic(self.labels, one) for one in own.T]
            differences = {
                other: bootstrap_interval(subtract, self.patients, self.labels, own, self.values[other])
                for other in against.get(way, [])
            }
            outcomes[way] = Outcome(mean, each, differences)
        return outcomes


def compare_ways(
    runs: Mapping[str, list[Run]], explanations: Mapping[str, list[Run]], against: Mapping[str, list[str]]
) -> Contrast:
    """Compare the ways by AUC and, if there are explain runs, by the attention outside the breast.

    Args:
        runs: way → its train runs.
        explanations: way → the explain runs of all its train runs; may be empty.
        against: way → the ways it is compared with.
    """
    trained = {way: [open_trained_model(run) for run in group] for way, group in runs.items()}
    models = [model for group in trained.values() for model in group]
    first = models[0]
    for model in models:
        same_images = model.predictions.drop(columns="prob").equals(first.predictions.drop(columns="prob"))
        if model.protocol != first.protocol or not same_images:
            raise DataError(
                f"{model.run} and {first.run} have different protocols: {model.protocol.caption} (the other: "
                f"{first.protocol.caption})",
                hint="contrast runs of one dataset, one split and one threshold rule",
            )
    table = first.predictions
    patients, labels = table["patient_id"].to_numpy(), table["label"].to_numpy()
    probs = {way: np.stack([model.predictions["prob"] for model in group], axis=1) for way, group in trained.items()}
    measurements = {AUC: Measurements(patients, labels, probs, compute_auc)}
    note = ""
    if explanations:
        note, measurements[OUTSIDE] = _measure_explanations(explanations, table)
    outcomes = {metric: one.compare(against) for metric, one in measurements.items()}
    return Contrast(first.protocol, {way: len(group) for way, group in runs.items()}, against, outcomes, note)


def _measure_explanations(explanations: Mapping[str, list[Run]], table: pd.DataFrame) -> tuple[str, Measurements]:
    """Measure attention if every network has it, else Grad-CAM. An image that any of them cannot score is left out."""
    scores = {way: [read_scores(run.scores_file) for run in group] for way, group in explanations.items()}
    have_attention = all((one["look"] == ATTENTION).any() for group in scores.values() for one in group)
    method = ATTENTION if have_attention else FOR_MALIGNANT
    outside = {
        way: np.stack([_select_outside(one, method, table) for one in group], axis=1) for way, group in scores.items()
    }
    known = ~np.isnan(np.concatenate(list(outside.values()), axis=1)).any(axis=1)
    patients, labels = table["patient_id"].to_numpy()[known], table["label"].to_numpy()[known]
    uniform = np.mean(_select_outside(next(iter(scores.values()))[0], UNIFORM, table)[known])
    note = f"outside the breast: share of the {method} map, where a uniform map has {format_number(uniform)}"
    values = {way: one[known] for way, one in outside.items()}
    return note, Measurements(patients, labels, values, lambda _labels, shares: float(np.mean(shares)))


def _select_outside(scores: pd.DataFrame, method: str, table: pd.DataFrame) -> np.ndarray:  # (n,), as in the table
    own = scores[scores["look"] == method].set_index("image_id")[OUTSIDE]
    if set(own.index) != set(table["image_id"]):
        raise DataError(
            "an explanation covers other images than the test images of its run",
            hint=f"explain the test images: {hints.command('explain RUN', split='test')}",
        )
    return own.loc[table["image_id"]].to_numpy()
