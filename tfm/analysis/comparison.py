"""Rankings of trained models by AUC, one ranking for each protocol. Models of different protocols are never ranked.
Runs that differ only in fold and seed are one row."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tfm.analysis.format_intervals import (
    format_difference,
    format_interval,
    format_number,
    format_p_value,
    format_range,
)
from tfm.analysis.mean_model import build_mean_model
from tfm.analysis.model_tests import ModelTest, run_model_tests
from tfm.analysis.repeated_model import OutOfFold, RepeatedModel, group_repeated_models
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.core import hints
from tfm.core.errors import DataError
from tfm.metrics.differences import compare_estimates
from tfm.metrics.intervals import Interval, compute_auc_interval

RUN_COLUMNS = ["model", "fold", "seed", "AUC (95 % interval)", "sensitivity", "specificity", "run"]
OUT_OF_FOLD_COLUMNS = ["model", "AUC (95 % interval)", "seeds", "lowest to highest seed"]


@dataclass(frozen=True)
class RankedRow:
    rank: str  # with a star: the best model, or one that this test cannot tell from it
    name: str
    entry: RepeatedModel
    difference: Interval | None  # of the AUC to that of the best, at most 0 but for the mean; None for the best
    test: ModelTest | None  # against the best; None for the best and for the mean

    def format_cells(self, *, has_tests: bool, is_repeated: bool) -> list[str]:
        entry, test = self.entry, self.test
        tests = [
            format_difference(self.difference) if self.difference else "",
            format_p_value(test.holm_p) if test else "",
            format_p_value(test.delong_p) if test else "",
        ]
        repeats = [str(len(entry.models)), format_range(entry.aucs), format_number(entry.spread)]
        return [
            self.name,
            self.rank,
            format_interval(entry.auc),
            *(tests if has_tests else []),
            *(repeats if is_repeated else []),
            *(_format_rate(entry.average_rate(name)) for name in ("sensitivity", "specificity")),
        ]


def _format_rate(rate: Interval) -> str:
    return format_interval(rate) if math.isfinite(rate.low) else format_number(rate.value)


@dataclass(frozen=True)
class Ranking:
    protocol: Protocol
    entries: list[tuple[str, RepeatedModel]]  # name in the table; best AUC first
    tests: list[ModelTest]  # of all pairs of entries, those with the best first
    mean: RepeatedModel | None  # of all entries

    @property
    def is_repeated(self) -> bool:
        return any(len(entry.models) > 1 for _, entry in self.entries)

    @property
    def best(self) -> str:
        return self.entries[0][0]

    @functools.cached_property
    def tests_with_best(self) -> dict[str, ModelTest]:
        """The test of each other model against the best one, in the order of the ranking."""
        return {test.worse: test for test in self.tests if test.better == self.best}

    def is_marked(self, name: str) -> bool:
        """Whether this is the best model, or one that the test cannot tell from it."""
        return len(self.entries) > 1 and (name == self.best or not self.tests_with_best[name].is_significant)

    @property
    def caption(self) -> str:
        repeats = (
            "Runs that differ only in fold and seed are one row: their mean. Its interval covers patients and runs"
        )
        correction = (
            f"Holm p is corrected for {len(self.tests)} pairs of models, because the best was chosen on the same images"
            if len(self.tests) > 1
            else "with one pair of models, Holm p needs no correction"
        )
        tests = (
            "*: the best model, and all that this test cannot tell from it. Differences are paired and clustered by "
            f"patient; {correction}; DeLong p is not corrected and assumes independent images"
        )
        return ". ".join(
            [self.protocol.caption, *([repeats] if self.is_repeated else []), *([tests] if self.tests else [])]
        )

    @functools.cached_property
    def rows(self) -> list[RankedRow]:
        """The rows of the tables: the models by rank, then their mean, which has no rank and is not tested."""
        rows = []
        for rank, (name, entry) in enumerate(self.entries, start=1):
            test = self.tests_with_best.get(name)
            difference = compare_estimates(entry.estimate, self.entries[0][1].estimate).interval if test else None
            rows.append(RankedRow(f"{rank}{'*' * self.is_marked(name)}", name, entry, difference, test))
        if self.mean:
            difference = compare_estimates(self.mean.estimate, self.entries[0][1].estimate).interval
            rows.append(RankedRow("–", self.mean.first.model, self.mean, difference, None))
        return rows

    @property
    def columns(self) -> list[str]:
        tests = ["difference to the best (95 % interval)", "Holm p", "DeLong p"] if len(self.rows) > 1 else []
        repeats = ["runs", "lowest to highest run", "standard deviation"] if self.is_repeated else []
        return ["model", "rank", "AUC (95 % interval)", *tests, *repeats, "sensitivity", "specificity"]

    def format_rows(self) -> list[list[str]]:
        """Format the rows for documents. A terminal is too narrow for them."""
        return [row.format_cells(has_tests=len(self.rows) > 1, is_repeated=self.is_repeated) for row in self.rows]

    def format_runs(self) -> list[list[str]]:
        """Format a row for each run, in the order of the models."""
        return [
            [
                name,
                str(model.fold),
                str(model.seed),
                format_interval(evaluation.auc),
                format_number(evaluation.metrics["sensitivity"].value),
                format_number(evaluation.metrics["specificity"].value),
                model.run,
            ]
            for name, entry in self.entries
            for model, evaluation in zip(entry.models, entry.evaluations, strict=True)
        ]

    def list_intervals(self) -> list[tuple[str, float, float, float]]:
        """List the AUC of each row, for figures."""
        return [(row.name, row.entry.auc.value, row.entry.auc.low, row.entry.auc.high) for row in self.rows]

    def list_values(self) -> list[dict[str, Any]]:
        """List each run for a program."""
        return [
            {
                "model": model.model,
                "run": model.run,
                **evaluation.flatten(),
                "weights": model.weights,
                "parameters": model.parameters,
                "minutes": model.minutes,
                "unit": model.protocol.unit,
                "protocol": model.protocol.caption,
                "synthetic": model.protocol.synthetic,
            }
            for _, entry in self.entries
            for model, evaluation in zip(entry.models, entry.evaluations, strict=True)
        ]

    def list_means(self) -> list[dict[str, Any]]:
        """List each row of several runs for a program."""
        return [
            {
                "model": entry.first.model,
                "runs": [model.run for model in entry.models],
                **entry.auc.flatten("auc"),
                "auc_each": entry.aucs,
                "sensitivity": entry.average_rate("sensitivity").value,
                "specificity": entry.average_rate("specificity").value,
                "protocol": self.caption,
            }
            for _, entry in self.entries
            if len(entry.models) > 1
        ]


@dataclass(frozen=True)
class OutOfFoldRanking:
    """Models that were trained on the same folds, by the AUC of their pooled validation predictions."""

    entries: list[tuple[str, OutOfFold]]  # name in the table; best AUC first

    @property
    def caption(self) -> str:
        return self.entries[0][1].caption

    def format_rows(self) -> list[list[str]]:
        return [
            [
                name,
                format_interval(compute_auc_interval(one.estimate)),
                str(one.estimate.values.size),
                format_range(one.estimate.values.tolist()),
            ]
            for name, one in self.entries
        ]

    def list_values(self) -> list[dict[str, Any]]:
        return [
            {
                "model": name,
                **compute_auc_interval(one.estimate).flatten("auc"),
                "auc_each": one.estimate.values.tolist(),
                "protocol": self.caption,
            }
            for name, one in self.entries
        ]


def rank_models(models: list[TrainedModel]) -> list[Ranking]:
    """Rank the models of each protocol. The order of `models` has no effect."""
    by_protocol: dict[Protocol, list[RepeatedModel]] = {}
    for repeated in group_repeated_models(models):
        by_protocol.setdefault(repeated.protocol, []).append(repeated)
    return [_rank_group(protocol, group) for protocol, group in by_protocol.items()]


def _rank_group(protocol: Protocol, group: list[RepeatedModel]) -> Ranking:
    _check_same_images(group)
    counts = Counter(one.first.model for one in group)
    named = [(_name_row(one.first, is_unique=counts[one.first.model] == 1), one) for one in group]
    entries = sorted(named, key=lambda entry: -entry[1].auc.value)
    return Ranking(protocol, entries, run_model_tests(entries), build_mean_model(group))


def _check_same_images(group: list[RepeatedModel]) -> None:
    """Models are compared image by image, so a pair needs the same ones."""
    runs = [model for entry in group for model in entry.models]
    for run in runs:
        if not run.predictions.drop(columns="prob").equals(runs[0].predictions.drop(columns="prob")):
            raise DataError(
                f"{run.run} and {runs[0].run} predicted different test images, though both have the split "
                f"{run.protocol.split_hash[:8]}",
                hint=f"repeat the older one: {hints.command('runs restart', min(run.run, runs[0].run))}",
            )


def _name_row(model: TrainedModel, *, is_unique: bool) -> str:
    return model.model if is_unique else f"{model.model} [{model.run.rpartition('_')[2]}]"


def rank_out_of_fold(ranking: Ranking) -> list[OutOfFoldRanking]:
    """Rank the models of several folds, one ranking for each protocol of validation images."""
    by_protocol: dict[Protocol, list[tuple[str, OutOfFold]]] = {}
    for name, entry in ranking.entries:
        pooled = entry.pool_folds()
        if pooled:
            by_protocol.setdefault(pooled.protocol, []).append((name, pooled))
    return [
        OutOfFoldRanking(sorted(entries, key=lambda entry: -entry[1].estimate.mean)) for entries in by_protocol.values()
    ]
