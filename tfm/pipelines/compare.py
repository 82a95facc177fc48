"""Rank trained models, one table for each protocol, and test how much they differ."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from tfm.analysis.comparison import (
    OUT_OF_FOLD_COLUMNS,
    RUN_COLUMNS,
    OutOfFoldRanking,
    Ranking,
    rank_models,
    rank_out_of_fold,
)
from tfm.analysis.comparison_tables import SCREEN_COLUMNS, build_tables, format_screen_rows
from tfm.analysis.describe_comparison import describe_outcome
from tfm.analysis.export_table import export_table
from tfm.analysis.external_tables import DROP, describe_drop, measure_drops, tabulate_drops_of_models
from tfm.analysis.external_test import Drop, ExternalTest
from tfm.analysis.figures.comparison import draw_comparison
from tfm.analysis.figures.pooled_roc import draw_pooled_roc
from tfm.analysis.figures.roc import draw_roc
from tfm.analysis.figures.style import save_figure
from tfm.analysis.nearly_equal_probabilities import warn_of_nearly_equal_probabilities
from tfm.analysis.run_costs import read_run_costs
from tfm.analysis.settings import Unit
from tfm.analysis.trained_run import TrainedModel, open_trained_model
from tfm.commands.compare import Compare
from tfm.core.errors import RunError
from tfm.core.events import Event, IntervalChart, Note, Picture, Progress, Result, Table
from tfm.core.registry import import_object
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.pipelines.external_dataset import check_both_classes, open_external_dataset

_MOST_CURVES = 7  # in one figure: more cannot be told apart


def compare(settings: Compare, run: Run) -> Iterator[Event]:
    yield from report_skipped_runs(run.workspace, settings, "runs")
    chosen = {one.id: one for one in (find_run(run.workspace, name) for name in settings.runs)}
    yield Progress("reading the predictions", 0, 1)
    unit = settings.units.unit
    own = yield from _open_models(chosen, unit, run.describe_restart())
    intact = [chosen[name] for name in own]
    external = (yield from _test_externally(settings, intact, run)) if settings.dataset else None
    models = [external.open_model(one, unit) for one in intact] if external else list(own.values())
    yield from warn_of_nearly_equal_probabilities(models)
    yield Progress("testing the differences", 0, 1)
    rankings = rank_models(models)
    costs = {one.id: read_run_costs(one) for one in intact}
    outputs: list[str] = []
    values: dict[str, Any] = {
        "run": run.id,
        "rows": [row for ranking in rankings for row in ranking.list_values()],
        "means": [row for ranking in rankings for row in ranking.list_means()],
        "out_of_fold": [],
        "models": [],
        "pairs": [],
        "summary": [],
    }
    if len(rankings) > 1:
        yield Note(
            f"these runs have {len(rankings)} protocols: each has its own table, and models of different tables "
            "are not compared",
            "warning",
        )
    for number, ranking in enumerate(rankings, start=1):
        title = "Comparison" if len(rankings) == 1 else f"Comparison {number} of {len(rankings)}"
        pooled = [] if external else rank_out_of_fold(ranking)
        drops = measure_drops(ranking, own) if external else {}
        yield from _show_tables(ranking, pooled, drops, title)
        figures = yield from _draw_figures(ranking, pooled, title, run, f"comparison-{number}")
        tables = build_tables(ranking, pooled, costs)
        if drops:
            tables["-drop"] = tabulate_drops_of_models(ranking, drops)
        exported = [
            path
            for ending, table in tables.items()
            for path in export_table(table, run.figures_folder, f"comparison-{number}{ending}")
        ]
        outputs += map(str, figures + exported)
        values["models"] += [
            record | (drops[record["model"]].flatten("auc") if record["model"] in drops else {})
            for record in tables[""].records
        ]
        values["pairs"] += tables["-pairs"].records if "-pairs" in tables else []
        values["out_of_fold"] += [row for one in pooled for row in one.list_values()]
        values["summary"].append(describe_outcome(ranking))
        if drops:
            values["summary"].append(describe_drop(ranking, drops))
    place = run.figures_folder.relative_to(run.workspace.root)
    yield Note(f"tables as CSV, Markdown, LaTeX and JSON, figures as PNG and PDF: {place} in the workspace")
    yield Result(values, outputs, "\n".join(values["summary"]))


def _open_models(runs: dict[str, Run], unit: Unit, again: str) -> Generator[Event, None, dict[str, TrainedModel]]:
    """Open each run. A damaged one is left out by name, because it must not hide the others."""
    models: dict[str, TrainedModel] = {}
    damaged: dict[str, RunError] = {}
    for name, one in runs.items():
        try:
            models[name] = open_trained_model(one, unit)
        except RunError as error:
            damaged[name] = error
    if not models:
        raise next(iter(damaged.values()))
    for name, problem in damaged.items():
        yield Note(f"{name} is left out: {problem.message}; {problem.hint}", "warning")
    if damaged:
        yield Note(f"to compare them once they are repaired: {again}")
    return models


def _test_externally(settings: Compare, trained: list[Run], run: Run) -> Generator[Event, None, ExternalTest]:
    assert settings.dataset
    dataset = open_external_dataset(run.workspace, settings.dataset, trained)
    check_both_classes(dataset)
    # torch is imported for an external test alone: it takes longer than the rest of a comparison.
    predict_dataset = import_object("tfm.pipelines.external_test:predict_dataset")
    external: ExternalTest = yield from predict_dataset(dataset, trained, settings.machine, run)
    return external


def _show_tables(
    ranking: Ranking, pooled: list[OutOfFoldRanking], drops: dict[str, Drop], title: str
) -> Iterator[Event]:
    if ranking.is_repeated:
        yield Table(f"{title}: each run", RUN_COLUMNS, ranking.format_runs(), ranking.protocol.caption)
    for one in pooled:
        yield Table(f"{title}: out of fold", OUT_OF_FOLD_COLUMNS, one.format_rows(), one.caption)
    yield Table(title, SCREEN_COLUMNS, format_screen_rows(ranking), ranking.caption)
    if drops:
        table = tabulate_drops_of_models(ranking, drops)
        rows = [list(row) for row in table.rows]
        yield Table(f"{title}: own test and {ranking.protocol.dataset}", list(table.columns), rows, DROP)
    yield IntervalChart(f"{title}: AUC", ranking.list_intervals(), low=0.0, high=1.0, mark=0.5)


def _draw_figures(
    ranking: Ranking, pooled: list[OutOfFoldRanking], title: str, run: Run, name: str
) -> Generator[Event, None, list[Path]]:
    """Draw the AUCs and the ROC curves. Return the files."""
    single = {row.name: row.entry.evaluations[0] for row in ranking.rows if len(row.entry.models) == 1}
    shown = dict(list(single.items())[:_MOST_CURVES])
    drawn = [("", "AUC", draw_comparison(ranking.list_intervals()), ranking.protocol.caption)]
    if shown:
        drawn.append(("-roc", "ROC curves", draw_roc(shown), ranking.protocol.caption))
    drawn += [
        (f"-out-of-fold-{number}", "ROC curves out of fold", draw_pooled_roc(one), one.caption)
        for number, one in enumerate(pooled, start=1)
    ]
    yield Progress("drawing the figures", 0, 1)
    paths: list[Path] = []
    for ending, content, figure, caption in drawn:
        png, pdf = save_figure(figure, run.figures_folder, name + ending, caption)
        yield Picture(str(png), f"{title}: {content}")
        paths += [png, pdf]
    return paths
