"""Ways of training compared: the mean metrics of each way's runs, and paired differences on the same patients.

Each run is one random initialization and order. The intervals cover the choice of patients and, for a way with several
runs, the choice of seeds, by the variance between readers in studies of several readers (`tfm.metrics.intervals`).
Resampling patients alone covers the true difference in as few as 4 of 10 simulated studies, and is sure of an average
of seeds whose errors cancel. Resampling seeds as well finds too little variance: two or three are too few for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.analysis.explanation.explainer import ATTENTION, FOR_MALIGNANT
from tfm.analysis.explanation.scores import OUTSIDE, UNIFORM, read_scores
from tfm.analysis.format_intervals import format_interval, format_number, format_range
from tfm.analysis.predictions import read_predictions
from tfm.analysis.settings import Split, Unit
from tfm.analysis.trained_run import Protocol, open_trained_model
from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.metrics import differences
from tfm.metrics.intervals import (
    Estimate,
    Interval,
    compute_auc_interval,
    compute_mean_interval,
    estimate_auc,
    estimate_ratio,
)

AUC = "auc"
_INTERVALS = {AUC: compute_auc_interval, OUTSIDE: compute_mean_interval}
_LABELS = {AUC: "AUC", OUTSIDE: "outside the breast"}


@dataclass(frozen=True)
class Outcome:
    """One metric of one way."""

    mean: Interval
    each: list[float]  # run by run
    differences: dict[str, Interval]  # to each way it is compared with

    def format_cells(self) -> list[str]:
        """Format the mean with its interval, and the range of the runs."""
        return [format_interval(self.mean), format_range(self.each)]


@dataclass(frozen=True)
class Contrast:
    protocol: Protocol
    runs: dict[str, int]  # way → number of runs
    against: Mapping[str, list[str]]  # way → the ways it is compared with
    outcomes: dict[str, dict[str, Outcome]]  # AUC, and OUTSIDE if every run was explained → way
    explanation_note: str  # how OUTSIDE was measured, or ""

    @property
    def columns(self) -> list[str]:
        labels = [text for metric in self.outcomes for text in (_LABELS[metric], "lowest to highest run")]
        return ["way", "runs", *labels]

    def format_rows(self) -> list[list[str]]:
        return [
            [way, str(count), *(text for by_way in self.outcomes.values() for text in by_way[way].format_cells())]
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


def compare_estimates(
    estimates: Mapping[str, Estimate],
    against: Mapping[str, list[str]],
    compute_interval: Callable[[Estimate], Interval],
) -> dict[str, Outcome]:
    """Compare one metric between ways, all estimated on the same images."""
    return {
        way: Outcome(
            mean=compute_interval(own),
            each=own.values.tolist(),
            differences={
                other: differences.compare_estimates(own, estimates[other]).interval for other in against.get(way, [])
            },
        )
        for way, own in estimates.items()
    }


def compare_ways(
    runs: Mapping[str, list[Run]],
    explanations: Mapping[str, list[Run]],
    against: Mapping[str, list[str]],
    unit: Unit = "image",
    split: Split = "test",
) -> Contrast:
    """Compare the ways by AUC and, if there are explain runs, by the attention outside the breast.

    Args:
        runs: way → its train runs.
        explanations: way → the explain runs of all its train runs; may be empty.
        against: way → the ways it is compared with.
        unit: of the AUC; attention is measured image by image.
    """
    trained = {way: [open_trained_model(run, unit) for run in group] for way, group in runs.items()}
    models = [model for group in trained.values() for model in group]
    first = models[0]
    table = first.select_split(split)
    for model in models:
        same_images = model.select_split(split).drop(columns="prob").equals(table.drop(columns="prob"))
        if model.protocol != first.protocol or not same_images:
            raise DataError(
                f"{model.run} and {first.run} have different protocols: {model.protocol.caption} (the other: "
                f"{first.protocol.caption})",
                hint="contrast runs of one dataset, one split and one threshold rule",
            )
    patients, labels = table["patient_id"].to_numpy(), table["label"].to_numpy()
    probs = {
        way: np.stack([model.select_split(split)["prob"] for model in group], axis=1) for way, group in trained.items()
    }
    estimates = {AUC: {way: estimate_auc(labels, one, patients) for way, one in probs.items()}}
    note = ""
    if explanations:
        images = read_predictions(next(iter(runs.values()))[0].predictions_file("test"))
        note, estimates[OUTSIDE] = _measure_explanations(explanations, images)
    outcomes = {metric: compare_estimates(by_way, against, _INTERVALS[metric]) for metric, by_way in estimates.items()}
    return Contrast(
        first.describe_split(split), {way: len(group) for way, group in runs.items()}, against, outcomes, note
    )


def _measure_explanations(
    explanations: Mapping[str, list[Run]], table: pd.DataFrame
) -> tuple[str, dict[str, Estimate]]:
    """Measure attention if every network has it, else Grad-CAM. An image that any of them cannot score is left out."""
    scores = {way: [read_scores(run.scores_file) for run in group] for way, group in explanations.items()}
    have_attention = all((one["look"] == ATTENTION).any() for group in scores.values() for one in group)
    method = ATTENTION if have_attention else FOR_MALIGNANT
    outside = {
        way: np.stack([_select_outside(one, method, table) for one in group], axis=1) for way, group in scores.items()
    }
    known = ~np.isnan(np.concatenate(list(outside.values()), axis=1)).any(axis=1)
    patients = table["patient_id"].to_numpy()[known]
    uniform = np.mean(_select_outside(next(iter(scores.values()))[0], UNIFORM, table)[known])
    note = f"outside the breast: share of the {method} map, where a uniform map has {format_number(uniform)}"
    ones = np.ones(len(patients))
    return note, {way: estimate_ratio(one[known], ones, patients) for way, one in outside.items()}


def _select_outside(scores: pd.DataFrame, method: str, table: pd.DataFrame) -> np.ndarray:  # (n,), as in the table
    own = scores[scores["look"] == method].set_index("image_id")[OUTSIDE]
    if set(own.index) != set(table["image_id"]):
        raise DataError(
            "an explanation covers other images than the test images of its run",
            hint=f"explain the test images: {hints.command('explain RUN', split='test')}",
        )
    return own.loc[table["image_id"]].to_numpy()
