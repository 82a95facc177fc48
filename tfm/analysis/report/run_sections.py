"""A section for each run: its numbers, its figures and its settings. Every number of the report leads here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfm.analysis.evaluation_tables import tabulate_calls, tabulate_metrics, tabulate_subgroups
from tfm.analysis.export_table import ExportTable
from tfm.analysis.figures.confusion import draw_confusion
from tfm.analysis.figures.learning_curves import draw_learning_curves
from tfm.analysis.figures.reliability import draw_reliability
from tfm.analysis.figures.score_distributions import draw_score_distributions
from tfm.analysis.report.flatten_settings import read_flat_settings
from tfm.analysis.report.parts import FigurePart, Paragraph, Part, Section, TablePart, name_anchor
from tfm.analysis.report.reported_runs import ReportedRun


def build_runs_section(runs: Sequence[ReportedRun]) -> Section:
    return Section("runs", "Each run", [], [_build_run_section(one) for one in runs])


def _build_run_section(one: ReportedRun) -> Section:
    name = f"run-{one.run.id}"
    evaluated, validation = one.evaluated, f"Metrics of {one.name} on validation"
    parts: list[Part] = [Paragraph(_describe_run(one))]
    parts += [Paragraph(f"Left out: {text}.", is_warning=True) for text in evaluated.left_out]
    parts += [
        TablePart(f"{name}-metrics", tabulate_metrics(evaluated, "test", one.name)),
        TablePart(f"{name}-validation", tabulate_metrics(evaluated, "val", one.name), summary=validation),
        TablePart(f"{name}-calls", tabulate_calls(evaluated, one.name)),
        *_draw_figures(one, name),
    ]
    if any(one.has_metrics for one in evaluated.subgroups):
        parts.append(TablePart(f"{name}-subgroups", tabulate_subgroups(evaluated, one.name)))
    parts.append(TablePart(f"{name}-settings", _tabulate_settings(one), summary=f"All settings of {one.name}"))
    return Section(name_anchor(one.run.id), one.name, parts)


def _describe_run(one: ReportedRun) -> str:
    model = one.model
    epochs = len(one.evaluated.epochs) if "epoch" in one.evaluated.epochs else 0
    trained = f" {epochs} epochs were trained." if epochs else ""
    return (
        f"Run {one.run.id}. Weights at the start: {model.weights}. {model.parameters:,} parameters, "
        f"{model.minutes:.1f} minutes of work.{trained}"
    )


def _draw_figures(one: ReportedRun, name: str) -> Iterator[FigurePart]:
    test, validation = one.test, one.evaluated.evaluations["val"][one.test.protocol.unit]
    both = {"validation": validation, "test": test}
    sample = test.protocol.sample
    if not one.evaluated.epochs.empty:
        yield FigurePart(
            f"{name}-learning-curves",
            draw_learning_curves(one.evaluated.epochs),
            f"Learning curves of {one.name}: training and validation by epoch.",
            f"{one.name}: training and validation. The weights with the highest AUC on validation were kept.",
        )
    counts = test.confusion
    yield FigurePart(
        f"{name}-confusion",
        draw_confusion(both),
        f"Confusion matrices of {one.name}. Test: {counts.tp} true positive, {counts.fn} false negative, {counts.fp} "
        f"false positive, {counts.tn} true negative.",
        f"{one.name}: calls at the threshold of validation ({sample}).",
    )
    yield FigurePart(
        f"{name}-reliability",
        draw_reliability(test),
        f"Reliability diagram of {one.name}: the share of malignant ones by probability.",
        f"{one.name}: the share of malignant ones by probability, before and after calibration ({sample}).",
    )
    yield FigurePart(
        f"{name}-scores",
        draw_score_distributions(both),
        f"Histograms of the probabilities of {one.name} for benign and malignant ones.",
        f"{one.name}: probabilities by label, with the threshold of validation ({sample}).",
    )


def _tabulate_settings(one: ReportedRun) -> ExportTable:
    plain = read_flat_settings(one.run)
    rows = [[name.replace("_", " "), _format_setting(value)] for name, value in plain.items()]
    return ExportTable(f"All settings of {one.name}", ["setting", "value"], rows, [plain])


def _format_setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {"None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))
