"""Rank trained models, one table for each protocol."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.comparison import OUT_OF_FOLD_COLUMNS, RUN_COLUMNS, rank_models, rank_out_of_fold
from tfm.analysis.figures.comparison import draw_comparison
from tfm.analysis.figures.style import save_figure
from tfm.analysis.trained_run import open_trained_model
from tfm.commands.compare import Compare
from tfm.core.events import Event, IntervalChart, Picture, Result, Table
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def compare(settings: Compare, run: Run) -> Iterator[Event]:
    yield from report_skipped_runs(run.workspace, settings, "runs")
    chosen = {one.id: one for one in (find_run(run.workspace, name) for name in settings.runs)}
    rankings = rank_models([open_trained_model(one, settings.units.unit) for one in chosen.values()])
    pictures: list[str] = []
    out_of_fold = []
    for number, ranking in enumerate(rankings, start=1):
        title = "Comparison" if len(rankings) == 1 else f"Comparison {number} of {len(rankings)}"
        if ranking.is_repeated:
            yield Table(f"{title}: each run", RUN_COLUMNS, ranking.format_runs(), ranking.protocol.caption)
        for pooled in rank_out_of_fold(ranking):
            yield Table(f"{title}: out of fold", OUT_OF_FOLD_COLUMNS, pooled.format_rows(), pooled.caption)
            out_of_fold += pooled.list_values()
        yield Table(title, ranking.columns, ranking.format_rows(), ranking.caption)
        yield IntervalChart(f"{title}: AUC", ranking.list_intervals(), low=0.0, high=1.0, mark=0.5)
        figure = draw_comparison(ranking.list_intervals())
        paths = save_figure(figure, run.figures_folder, f"comparison-{number}", ranking.protocol.caption)
        pictures += [str(path) for path in paths]
        yield Picture(pictures[-2], title)
    values = {
        "run": run.id,
        "rows": [row for ranking in rankings for row in ranking.list_values()],
        "means": [row for ranking in rankings for row in ranking.list_means()],
        "out_of_fold": out_of_fold,
    }
    yield Result(values, outputs=pictures)
