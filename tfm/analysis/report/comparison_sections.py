"""The models side by side: the ranking, and the curves of all in one figure."""

from __future__ import annotations

from dataclasses import replace

from tfm.analysis.comparison import rank_out_of_fold
from tfm.analysis.comparison_tables import build_tables
from tfm.analysis.describe_comparison import describe_outcome
from tfm.analysis.export_table import ExportTable
from tfm.analysis.figures.comparison import draw_comparison
from tfm.analysis.figures.pooled_roc import draw_pooled_roc
from tfm.analysis.figures.precision_recall import draw_precision_recall
from tfm.analysis.figures.roc import draw_roc
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.nearly_equal_probabilities import warn_of_nearly_equal_probabilities
from tfm.analysis.report.flatten_settings import read_flat_settings
from tfm.analysis.report.parts import FigurePart, Paragraph, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRun, ReportedRuns
from tfm.analysis.run_costs import read_run_costs

_MAIN_SETTINGS = (
    *("architecture", "weights", "trained", "epochs", "learning_rate", "optimizer", "batch_size"),
    *("balance", "augment", "dropout", "fold", "seed"),
)

_TITLES = {
    "": "The models by AUC. ",
    "-costs": "What each model took. ",
    "-pairs": "All pairs of models. ",
    "-runs": "Each run. ",
}


def build_comparison_section(reported: ReportedRuns) -> Section:
    ranking = reported.ranking
    pooled = rank_out_of_fold(ranking)
    sample = ranking.protocol.sample
    named = "; ".join(f"{name}: {format_interval(entry.auc)}" for name, entry in ranking.entries)
    costs = {one.run.id: read_run_costs(one.run) for one in reported.runs}
    tables = build_tables(ranking, pooled, costs)
    warnings = warn_of_nearly_equal_probabilities([one.model for one in reported.runs])
    parts: list[Part] = [
        Paragraph(describe_outcome(ranking)),
        *(Paragraph(f"{warning.text}.", is_warning=True) for warning in warnings),
        *(TablePart(f"comparison{ending}", _add_title(ending, one), reported.links) for ending, one in tables.items()),
        FigurePart(
            "comparison",
            draw_comparison(ranking.list_intervals()),
            f"The AUC of each model on the test set, with its interval. {named}.",
            f"AUC of each model, with its 95 % interval ({sample}).",
        ),
        FigurePart(
            "roc-all",
            draw_roc(reported.tests),
            f"ROC curves of all models on the test set. {named}.",
            f"ROC curves ({sample}).",
        ),
        FigurePart(
            "precision-recall-all",
            draw_precision_recall(reported.tests),
            "Precision-recall curves of all models on the test set.",
            f"Precision-recall curves ({sample}).",
        ),
    ]
    parts += [
        FigurePart(
            f"roc-out-of-fold-{number}",
            draw_pooled_roc(one),
            "ROC curves of the pooled validation predictions of each model.",
            f"ROC curves out of fold. {one.caption}.",
        )
        for number, one in enumerate(pooled, start=1)
    ]
    parts.append(TablePart("training", _tabulate_training(reported.runs), reported.links))
    return Section("comparison", "Comparison", parts)


def _add_title(ending: str, table: ExportTable) -> ExportTable:
    return replace(table, caption=_TITLES.get(ending, "") + table.caption)


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
