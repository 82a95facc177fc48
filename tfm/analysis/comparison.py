"""Several trained models side by side: one ranking for each protocol, since unlike protocols are never ranked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tfm.analysis.evaluation import Evaluation, evaluate, format_interval, format_number
from tfm.analysis.trained_run import Protocol, TrainedModel

COLUMNS = ["model", "AUC (95 % interval)", "sensitivity", "specificity", "weights", "parameters", "min"]


@dataclass(frozen=True)
class Ranking:
    protocol: Protocol
    entries: list[tuple[str, TrainedModel, Evaluation]]  # name in the table; best AUC first

    def table(self) -> list[list[str]]:
        return [
            [
                name,
                format_interval(judged.auc),
                format_number(judged.rates["sensitivity"].value),
                format_number(judged.rates["specificity"].value),
                trained.weights,
                f"{trained.parameters:,}",
                f"{trained.minutes:.1f}",
            ]
            for name, trained, judged in self.entries
        ]

    def intervals(self) -> list[tuple[str, float, float, float]]:
        return [(name, judged.auc.value, judged.auc.low, judged.auc.high) for name, _, judged in self.entries]

    def rows(self) -> list[dict[str, Any]]:
        """The same for a program."""
        return [
            {
                "model": trained.model,
                "run": trained.run,
                **judged.values(),
                "weights": trained.weights,
                "parameters": trained.parameters,
                "minutes": trained.minutes,
                "protocol": self.protocol.words,
                "synthetic": self.protocol.synthetic,
            }
            for _, trained, judged in self.entries
        ]


def rank_models(models: list[TrainedModel]) -> list[Ranking]:
    """The order in which the models are given changes nothing."""
    by_protocol: dict[Protocol, list[TrainedModel]] = {}
    for trained in sorted(models, key=lambda trained: trained.run):
        by_protocol.setdefault(trained.protocol, []).append(trained)
    return [_ranking(protocol, group) for protocol, group in by_protocol.items()]


def _ranking(protocol: Protocol, group: list[TrainedModel]) -> Ranking:
    times = Counter(trained.model for trained in group)
    entries = [
        (f"{one.model} [{one.run.rpartition('_')[2]}]" if times[one.model] > 1 else one.model, one, evaluate(one))
        for one in group
    ]
    return Ranking(protocol, sorted(entries, key=lambda entry: -entry[2].auc.value))
