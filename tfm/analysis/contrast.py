"""Ways to train, each by several runs: the mean of their figures, and paired differences on the same women.

A run counts as one draw of first weights and order; an interval is over women, with these runs as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.analysis.evaluation import format_interval, format_number
from tfm.analysis.explanation.explainer import ATTENTION, FOR_MALIGNANT
from tfm.analysis.explanation.scores import OUTSIDE, UNIFORM, read_scores
from tfm.analysis.trained_run import Protocol, open_trained_model
from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.metrics.classification import Interval, bootstrap_interval, compute_auc

AUC = "auc"
_WORDS = {AUC: "AUC", OUTSIDE: "looks outside the breast"}


@dataclass(frozen=True)
class Outcome:
    """One figure of one way."""

    mean: Interval
    each: list[float]  # run by run
    differences: dict[str, Interval]  # to each way that it is compared with


@dataclass(frozen=True)
class Contrast:
    protocol: Protocol
    runs: dict[str, int]  # way → how many
    against: Mapping[str, list[str]]  # way → those that it is compared with
    figures: dict[str, dict[str, Outcome]]  # AUC, and OUTSIDE where every run was explained → way
    look: str  # in words, what OUTSIDE is measured by

    @property
    def columns(self) -> list[str]:
        return ["way", "runs", *(_WORDS[name] for name in self.figures)]

    def table(self) -> list[list[str]]:
        return [
            [way, str(count), *(format_interval(each[way].mean) for each in self.figures.values())]
            for way, count in self.runs.items()
        ]

    def rows(self) -> list[dict[str, object]]:
        """The same for a program, with each run's own figures."""
        return [{"way": way, "runs": count} | self._values(way) for way, count in self.runs.items()]

    def _values(self, way: str) -> dict[str, object]:
        told: dict[str, object] = {}
        for name, each in self.figures.items():
            told |= each[way].mean.flatten(name) | {f"{name}_each": each[way].each}
        return told

    @property
    def columns_apart(self) -> list[str]:
        return ["way", "compared with", *(f"difference in {_WORDS[name]}" for name in self.figures)]

    def table_apart(self) -> list[list[str]]:
        return [
            [way, other, *(format_interval(each[way].differences[other]) for each in self.figures.values())]
            for way, other in self._pairs
        ]

    def rows_apart(self) -> list[dict[str, object]]:
        return [{"way": way, "against": other} | self._values_apart(way, other) for way, other in self._pairs]

    def _values_apart(self, way: str, other: str) -> dict[str, object]:
        told: dict[str, object] = {}
        for name, each in self.figures.items():
            told |= each[way].differences[other].flatten(f"{name}_difference")
        return told

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return [(way, other) for way in self.runs for other in self.against.get(way, [])]


@dataclass(frozen=True)
class Measurements:
    """Of the same test images, by every way."""

    patients: np.ndarray  # (n,)
    labels: np.ndarray  # (n,)
    values: dict[str, np.ndarray]  # way → (n, runs)
    statistic: Callable[[np.ndarray, np.ndarray], float]  # of labels (n,) and one run's values (n,)

    def outcomes(self, against: Mapping[str, list[str]]) -> dict[str, Outcome]:
        return {way: self._outcome(way, against.get(way, [])) for way in self.values}

    def _outcome(self, way: str, others: list[str]) -> Outcome:
        own = self.values[way]
        apart = {other: self._interval(self._difference, own, self.values[other]) for other in others}
        return Outcome(self._interval(self._mean, own), [self.statistic(self.labels, one) for one in own.T], apart)

    def _mean(self, labels: np.ndarray, values: np.ndarray) -> float:
        return float(np.mean([self.statistic(labels, one) for one in values.T]))

    def _difference(self, labels: np.ndarray, values: np.ndarray, others: np.ndarray) -> float:
        return self._mean(labels, values) - self._mean(labels, others)

    def _interval(self, statistic: Callable[..., float], *columns: np.ndarray) -> Interval:
        return bootstrap_interval(statistic, self.patients, self.labels, *columns)


def compare_ways(
    runs: Mapping[str, list[Run]], looks: Mapping[str, list[Run]], against: Mapping[str, list[str]]
) -> Contrast:
    """Way → its train runs, and way → the explanations of these, or nothing."""
    trained = {way: [open_trained_model(run) for run in group] for way, group in runs.items()}
    everyone = [one for group in trained.values() for one in group]
    first = everyone[0]
    for other in everyone:
        if other.protocol != first.protocol or not _same_images(other.predictions, first.predictions):
            raise DataError(
                f"{other.run} was not tested as {first.run} was: {other.protocol.words} (the other: "
                f"{first.protocol.words})",
                hint="contrast runs of one dataset, one split and one rule for the threshold",
            )
    table = first.predictions
    patients, labels = table["patient_id"].to_numpy(), table["label"].to_numpy()
    probs = {way: np.stack([one.predictions["prob"] for one in group], axis=1) for way, group in trained.items()}
    measured = {AUC: Measurements(patients, labels, probs, compute_auc)}
    look = ""
    if looks:
        look, measured[OUTSIDE] = _looks(looks, table)
    figures = {name: one.outcomes(against) for name, one in measured.items()}
    return Contrast(first.protocol, {way: len(group) for way, group in runs.items()}, against, figures, look)


def _same_images(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.drop(columns="prob").equals(other.drop(columns="prob"))


def _looks(explanations: Mapping[str, list[Run]], table: pd.DataFrame) -> tuple[str, Measurements]:
    """By attention where every network has one. Images in which one of them has no figure are left out for all."""
    read = {way: [read_scores(run.looks_file) for run in group] for way, group in explanations.items()}
    attentive = all((one["look"] == ATTENTION).any() for group in read.values() for one in group)
    look = ATTENTION if attentive else FOR_MALIGNANT
    values = {way: np.stack([_outside(one, look, table) for one in group], axis=1) for way, group in read.items()}
    known = ~np.isnan(np.concatenate(list(values.values()), axis=1)).any(axis=1)
    kept = {way: one[known] for way, one in values.items()}
    patients, labels = table["patient_id"].to_numpy()[known], table["label"].to_numpy()[known]
    even = np.mean(_outside(next(iter(read.values()))[0], UNIFORM, table)[known])
    caption = (
        f"share of the explanation outside the breast: measured on {look}; a uniform map would have "
        f"{format_number(even)} outside"
    )
    return caption, Measurements(patients, labels, kept, lambda _labels, outside: float(np.mean(outside)))


def _outside(looks: pd.DataFrame, look: str, table: pd.DataFrame) -> np.ndarray:  # (n,), in the order of the table
    own = looks[looks["look"] == look].set_index("image_id")[OUTSIDE]
    if set(own.index) != set(table["image_id"]):
        raise DataError(
            "an explanation looked at other images than those that were tested",
            hint=f"explain the test images: {hints.command('explain RUN', split='test')}",
        )
    return own.loc[table["image_id"]].to_numpy()
