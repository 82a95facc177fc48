"""Rankings of trained models by AUC, one ranking for each protocol. Models of different protocols are never ranked.
Runs that differ only in fold and seed are one row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tfm.analysis.format_intervals import format_interval, format_number, format_range
from tfm.analysis.repeated_model import OutOfFold, RepeatedModel, group_repeated_models
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.metrics.intervals import compute_auc_interval

RUN_COLUMNS = ["model", "fold", "seed", "AUC (95 % interval)", "sensitivity", "specificity", "run"]
OUT_OF_FOLD_COLUMNS = ["model", "AUC (95 % interval)", "seeds", "lowest to highest seed"]


@dataclass(frozen=True)
class Ranking:
    protocol: Protocol
    entries: list[tuple[str, RepeatedModel]]  # name in the table; best AUC first

    @property
    def is_repeated(self) -> bool:
        return any(len(entry.models) > 1 for _, entry in self.entries)

    @property
    def caption(self) -> str:
        if not self.is_repeated:
            return self.protocol.caption
        return (
            f"{self.protocol.caption}. Runs that differ only in fold and seed are one row: their mean. Its interval "
            "covers patients and runs"
        )

    @property
    def columns(self) -> list[str]:
        repeats = ["runs", "lowest to highest run"] if self.is_repeated else []
        return ["model", "AUC (95 % interval)", *repeats, "sensitivity", "specificity", "weights", "parameters", "min"]

    def format_rows(self) -> list[list[str]]:
        return [
            [
                name,
                format_interval(entry.auc),
                *([str(len(entry.models)), format_range(entry.aucs)] if self.is_repeated else []),
                format_number(entry.average_rate("sensitivity")),
                format_number(entry.average_rate("specificity")),
                entry.first.weights,
                f"{entry.first.parameters:,}",
                f"{sum(model.minutes for model in entry.models):.1f}",
            ]
            for name, entry in self.entries
        ]

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
        return [(name, entry.auc.value, entry.auc.low, entry.auc.high) for name, entry in self.entries]

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
                "sensitivity": entry.average_rate("sensitivity"),
                "specificity": entry.average_rate("specificity"),
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
    rankings = []
    for protocol, group in by_protocol.items():
        counts = Counter(one.first.model for one in group)
        entries = [(_name_row(one.first, is_unique=counts[one.first.model] == 1), one) for one in group]
        rankings.append(Ranking(protocol, sorted(entries, key=lambda entry: -entry[1].auc.value)))
    return rankings


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
