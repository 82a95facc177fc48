"""Rankings of trained models by AUC, one ranking for each protocol. Models of different protocols are never ranked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tfm.analysis.evaluation import Evaluation, evaluate
from tfm.analysis.format_intervals import format_interval, format_number
from tfm.analysis.trained_run import Protocol, TrainedModel

COLUMNS = ["model", "AUC (95 % interval)", "sensitivity", "specificity", "weights", "parameters", "min"]


@dataclass(frozen=True)
class Ranking:
    protocol: Protocol
    entries: list[tuple[str, TrainedModel, Evaluation]]  # name in the table; best AUC first

    def format_rows(self) -> list[list[str]]:
        return [
            [
                name,
                format_interval(evaluation.auc),
                format_number(evaluation.rates["sensitivity"].value),
                format_number(evaluation.rates["specificity"].value),
                model.weights,
                f"{model.parameters:,}",
                f"{model.minutes:.1f}",
            ]
            for name, model, evaluation in self.entries
        ]

    def list_intervals(self) -> list[tuple[str, float, float, float]]:
        return [(name, one.auc.value, one.auc.low, one.auc.high) for name, _, one in self.entries]

    def list_values(self) -> list[dict[str, Any]]:
        """List the rows for a program."""
        return [
            {
                "model": model.model,
                "run": model.run,
                **evaluation.flatten(),
                "weights": model.weights,
                "parameters": model.parameters,
                "minutes": model.minutes,
                "protocol": self.protocol.caption,
                "synthetic": self.protocol.synthetic,
            }
            for _, model, evaluation in self.entries
        ]


def rank_models(models: list[TrainedModel]) -> list[Ranking]:
    """Rank the models of each protocol. The order of `models` has no effect."""
    by_protocol: dict[Protocol, list[TrainedModel]] = {}
    for model in sorted(models, key=lambda model: model.run):
        by_protocol.setdefault(model.protocol, []).append(model)
    rankings = []
    for protocol, group in by_protocol.items():
        counts = Counter(model.model for model in group)
        entries = [
            (f"{one.model} [{one.run.rpartition('_')[2]}]" if counts[one.model] > 1 else one.model, one, evaluate(one))
            for one in group
        ]
        rankings.append(Ranking(protocol, sorted(entries, key=lambda entry: -entry[2].auc.value)))
    return rankings
