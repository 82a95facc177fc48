"""The models side by side: the ranking, and the curves of all in one figure."""

from __future__ import annotations

from tfm.analysis.comparison import OUT_OF_FOLD_COLUMNS, RUN_COLUMNS, rank_out_of_fold
from tfm.analysis.export_table import ExportTable
from tfm.analysis.figures.comparison import draw_comparison
from tfm.analysis.figures.roc import draw_roc
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.report.flatten_settings import read_flat_settings
from tfm.analysis.report.parts import FigurePart, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRun, ReportedRuns

_MAIN_SETTINGS = (
    *("architecture", "weights", "trained", "epochs", "learning_rate", "optimizer", "batch_size"),
    *("balance", "augment", "dropout", "fold", "seed"),
)


def build_comparison_section(reported: ReportedRuns) -> Section:
    ranking = reported.ranking
    table = ExportTable(ranking.caption, ranking.columns, ranking.format_rows(), ranking.list_values())
    named = "; ".join(f"{name}: {format_interval(entry.auc)}" for name, entry in ranking.entries)
    parts: list[Part] = [
        TablePart("comparison", table, reported.links),
        FigurePart(
            "comparison",
            draw_comparison(ranking.list_intervals()),
            f"Bars of the AUC of each model on the test set, with its interval. {named}.",
            f"AUC of each model, with its 95 % interval. {ranking.protocol.sample}.",
        ),
    ]
    if ranking.is_repeated:
        each = ExportTable(
            f"Each run. {ranking.protocol.caption}.", RUN_COLUMNS, ranking.format_runs(), ranking.list_values()
        )
        parts.append(TablePart("comparison-runs", each, reported.links))
    for number, pooled in enumerate(rank_out_of_fold(ranking), start=1):
        rows = ExportTable(pooled.caption, OUT_OF_FOLD_COLUMNS, pooled.format_rows(), pooled.list_values())
        parts.append(TablePart(f"out-of-fold-{number}", rows, reported.links))
    parts.append(
        FigurePart(
            "roc-all",
            draw_roc(reported.tests),
            f"ROC curves of all models on the test set. {named}.",
            f"ROC curves. {ranking.protocol.sample}.",
        )
    )
    parts.append(TablePart("training", _tabulate_training(reported.runs), reported.links))
    return Section("comparison", "Comparison", parts)


def _tabulate_training(runs: list[ReportedRun]) -> ExportTable:
    """The main settings of each run."""
    found = [(one, read_flat_settings(one.run)) for one in runs]
    names = [name for name in _MAIN_SETTINGS if any(name in settings for _, settings in found)]
    rows = [[one.name, *(str(settings.get(name, "–")) for name in names)] for one, settings in found]
    records = [
        {"model": one.name, "run": one.run.id, **{name: settings.get(name) for name in names}}
        for one, settings in found
    ]
    columns = ["model", *(name.replace("_", " ") for name in names)]
    return ExportTable("The main settings of each model. All settings are in its section.", columns, rows, records)
