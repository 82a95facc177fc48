"""The runs of a report, opened and evaluated: every number comes from their stored predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfm.analysis.comparison import Ranking, rank_models
from tfm.analysis.evaluated_run import EvaluatedRun, evaluate_run
from tfm.analysis.evaluation import Evaluation
from tfm.analysis.settings import Unit
from tfm.analysis.trained_run import TrainedModel, open_trained_model
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.runs.run import Run


@dataclass(frozen=True)
class ReportedRun:
    name: str  # in tables and figures; no other run has it
    evaluated: EvaluatedRun
    unit: Unit

    @property
    def run(self) -> Run:
        return self.evaluated.run

    @property
    def test(self) -> Evaluation:
        return self.evaluated.evaluations["test"][self.unit]

    @property
    def model(self) -> TrainedModel:
        """The model, counted in the unit of the report."""
        return self.test.model


@dataclass(frozen=True)
class ReportedRuns:
    ranking: Ranking
    runs: list[ReportedRun]  # in the order of the ranking

    @property
    def tests(self) -> dict[str, Evaluation]:
        return {one.name: one.test for one in self.runs}

    @property
    def links(self) -> dict[str, str]:
        """The run that a name in a table stands for: a model, its first run; a run, itself."""
        models = {name: entry.first.run for name, entry in self.ranking.entries}
        return models | {one.name: one.run.id for one in self.runs} | {one.run.id: one.run.id for one in self.runs}


def open_reported_runs(runs: Sequence[Run], unit: Unit) -> ReportedRuns:
    """Open the runs. Runs of different protocols are refused: no report ranks what was not measured alike."""
    by_id = {run.id: run for run in runs}
    rankings = rank_models([open_trained_model(run, unit) for run in by_id.values()])
    if len(rankings) > 1:
        raise _refuse_mixed_protocols(rankings)
    ranking = rankings[0]
    reported = [
        ReportedRun(
            name=name if len(entry.models) == 1 else f"{name} (fold {model.fold}, seed {model.seed})",
            evaluated=evaluate_run(by_id[model.run]),
            unit=unit,
        )
        for name, entry in ranking.entries
        for model in entry.models
    ]
    return ReportedRuns(ranking, reported)


def _refuse_mixed_protocols(rankings: list[Ranking]) -> SettingsError:
    """Keep the protocol with the most runs."""
    groups = [(ranking.protocol.caption, _list_runs(ranking)) for ranking in rankings]
    _, kept = max(groups, key=lambda group: len(group[1]))
    others = [run for _, runs in groups for run in runs if run not in kept]
    described = "\n".join(f"{', '.join(runs)}: {caption}" for caption, runs in groups)
    return SettingsError(
        f"these runs have {len(rankings)} protocols, and a report ranks models of one protocol only:\n{described}",
        hint=f"leave out {', '.join(others)}: {hints.command('report', *kept)}",
        fields=("runs",),
    )


def _list_runs(ranking: Ranking) -> list[str]:
    return [model.run for _, entry in ranking.entries for model in entry.models]
