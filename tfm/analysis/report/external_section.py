"""The external tests of the reported models: other datasets that the workspace has predictions of these models for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tfm.analysis.comparison import Ranking, rank_models
from tfm.analysis.external_tables import describe_drop, measure_drops, tabulate_drops_of_models
from tfm.analysis.external_test import Drop, ExternalTest, list_external_tests
from tfm.analysis.report.parts import Paragraph, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRuns
from tfm.core.errors import DataError


@dataclass(frozen=True)
class ExternalRanking:
    """The models that were tested on a dataset, by their AUC on it."""

    ranking: Ranking
    drops: Mapping[str, Drop]  # by model
    untested: list[str]  # names of the other reported models

    @property
    def outcome(self) -> str:
        return describe_drop(self.ranking, self.drops)


def rank_externally(reported: ReportedRuns) -> tuple[list[ExternalRanking], list[str]]:
    """Rank the models on each other dataset. Also return what has to be left out, and why."""
    found, missing = [], []
    for external in list_external_tests([one.run for one in reported.runs]):
        try:
            found += _rank(reported, external)
        except DataError as error:
            missing.append(f"the external test on {external.dataset.dataset}: {error.message}")
    return found, missing


def _rank(reported: ReportedRuns, external: ExternalTest) -> list[ExternalRanking]:
    tested = [one for one in reported.runs if one.run.id in external.predictions]
    untested = [one.name for one in reported.runs if one not in tested]
    own = {one.run.id: one.model for one in tested}
    rankings = rank_models([external.open_model(one.run, one.unit) for one in tested])
    return [ExternalRanking(ranking, measure_drops(ranking, own), untested) for ranking in rankings]


def build_external_section(external: list[ExternalRanking], reported: ReportedRuns) -> Section:
    parts: list[Part] = []
    for number, one in enumerate(external, start=1):
        table = tabulate_drops_of_models(one.ranking, one.drops)
        parts += [Paragraph(one.outcome), TablePart(f"external-{number}", table, reported.links)]
        if one.untested:
            parts.append(Paragraph(f"Not tested on {one.ranking.protocol.dataset}: {', '.join(one.untested)}."))
    if not external:
        parts.append(Paragraph("No model was tested on another dataset."))
    return Section("external", "External tests", parts)
