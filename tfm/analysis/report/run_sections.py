"""A section for each run: its numbers, its figures and its settings. Every number of the report leads here."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tfm.analysis.evaluation import METRICS
from tfm.analysis.export_table import ExportTable
from tfm.analysis.format_intervals import flatten_intervals, format_interval
from tfm.analysis.report.flatten_settings import read_flat_settings
from tfm.analysis.report.parts import Paragraph, Part, Section, TablePart, name_anchor
from tfm.analysis.report.reported_runs import ReportedRun


def build_runs_section(runs: list[ReportedRun]) -> Section:
    return Section("runs", "Each run", [], [_build_run_section(one) for one in runs])


def _build_run_section(one: ReportedRun) -> Section:
    name = f"run-{one.run.id}"
    parts: list[Part] = [
        Paragraph(_describe_run(one)),
        TablePart(f"{name}-metrics", _tabulate_metrics(one)),
        TablePart(f"{name}-confusion", tabulate_confusion(one)),
    ]
    parts.append(TablePart(f"{name}-settings", _tabulate_settings(one)))
    return Section(name_anchor(one.run.id), one.name, parts)


def _describe_run(one: ReportedRun) -> str:
    model = one.model
    epochs = read_epochs(one)
    trained = f" {len(epochs)} epochs were trained." if len(epochs) else ""
    return (
        f"Run {one.run.id}. Weights at the start: {model.weights}. {model.parameters:,} parameters, "
        f"{model.minutes:.1f} minutes of work.{trained} Threshold, chosen on validation: {model.printed_threshold}."
    )


def read_epochs(one: ReportedRun) -> pd.DataFrame:
    """The metrics of each epoch; empty for a run without epochs."""
    if not one.run.metrics_file.is_file():
        return pd.DataFrame()
    table = pd.read_csv(one.run.metrics_file)
    return table if "epoch" in table and "val_auc" in table else pd.DataFrame()


def _tabulate_metrics(one: ReportedRun) -> ExportTable:
    splits = {"test": one.test, "validation": one.validation}
    rows = [
        [METRICS[metric], *(format_interval(evaluated.metrics[metric]) for evaluated in splits.values())]
        for metric in one.test.metrics
    ]
    records: list[dict[str, Any]] = [
        {"model": one.name, "run": one.run.id, "split": split, **flatten_intervals(evaluated.metrics)}
        for split, evaluated in splits.items()
    ]
    caption = f"{one.name}. {one.model.protocol.caption}. The validation set chose the epoch and the threshold."
    return ExportTable(caption, ["metric (95 % interval)", *splits], rows, records)


def tabulate_confusion(one: ReportedRun) -> ExportTable:
    counts = one.test.confusion
    rows = [["malignant", str(counts.tp), str(counts.fn)], ["benign", str(counts.fp), str(counts.tn)]]
    records = [{"model": one.name, "tp": counts.tp, "fn": counts.fn, "fp": counts.fp, "tn": counts.tn}]
    caption = f"{one.name}: test {one.model.protocol.unit}s at the threshold {one.model.printed_threshold}."
    return ExportTable(caption, ["truth", "called malignant", "called benign"], rows, records)


def _tabulate_settings(one: ReportedRun) -> ExportTable:
    plain = read_flat_settings(one.run)
    rows = [[name.replace("_", " "), _format_setting(value)] for name, value in plain.items()]
    return ExportTable(f"All settings of {one.name}.", ["setting", "value"], rows, [plain])


def _format_setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {"None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))
