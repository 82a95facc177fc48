"""Rank trained models, one table for each protocol."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.comparison import COLUMNS, rank_models
from tfm.analysis.figures import draw_comparison
from tfm.analysis.trained_run import open_trained_model
from tfm.commands.compare import Compare
from tfm.core.events import Event, IntervalChart, Picture, Result, Table
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def compare(settings: Compare, run: Run) -> Iterator[Event]:
    yield from report_skipped_runs(run.workspace, settings, "runs")
    chosen = {one.id: one for one in (find_run(run.workspace, name) for name in settings.runs)}
    rankings = rank_models([open_trained_model(one) for one in chosen.values()])
    pictures = []
    for number, ranking in enumerate(rankings, start=1):
        title = "Comparison" if len(rankings) == 1 else f"Comparison {number} of {len(rankings)}"
        yield Table(title, COLUMNS, ranking.format_rows(), ranking.protocol.caption)
        yield IntervalChart(f"{title}: AUC", ranking.list_intervals(), low=0.0, high=1.0, mark=0.5)
        picture = run.figures_folder / f"comparison-{number}.png"
        draw_comparison(picture, ranking.list_intervals(), ranking.protocol)
        pictures.append(str(picture))
        yield Picture(str(picture), title)
    rows = [row for ranking in rankings for row in ranking.list_values()]
    yield Result({"run": run.id, "rows": rows}, outputs=pictures)
