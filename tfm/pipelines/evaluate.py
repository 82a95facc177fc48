"""Measure a trained model on its test images."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis import evaluation
from tfm.analysis.figures.roc import draw_roc
from tfm.analysis.figures.style import save_figure
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.trained_run import open_trained_model
from tfm.analysis.units import PLURALS
from tfm.commands.evaluate import Evaluate
from tfm.core import files
from tfm.core.events import Event, Picture, Result, Table
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def evaluate(settings: Evaluate, run: Run) -> Iterator[Event]:
    trained = open_trained_model(find_run(run.workspace, settings.run), settings.units.unit)
    evaluated = evaluation.evaluate(trained)
    caption = trained.protocol.caption
    yield Table(
        f"{trained.model} on the test {PLURALS[trained.protocol.unit]}",
        ["metric", "value (95 % interval)"],
        [[evaluation.METRICS[name], format_interval(interval)] for name, interval in evaluated.metrics.items()],
        caption,
    )
    counts = evaluated.confusion
    yield Table(
        f"At the threshold {trained.printed_threshold}",
        ["", "called malignant", "called benign"],
        [["malignant", str(counts.tp), str(counts.fn)], ["benign", str(counts.fp), str(counts.tn)]],
        caption,
    )
    metrics_file = run.folder / "metrics.json"
    figures = save_figure(draw_roc({trained.model: evaluated}), run.figures_folder, "roc", caption)
    yield Picture(str(figures[0]), f"ROC curve of {trained.model}")
    values = {
        "run": run.id,
        "trained": trained.run,
        "model": trained.model,
        **evaluated.flatten(),
        "threshold": trained.threshold,
        "threshold_rule": trained.protocol.threshold_rule,
        "unit": trained.protocol.unit,
        "n_units": trained.protocol.units,
        "n_images": trained.protocol.images,
        "n_patients": trained.protocol.patients,
        "protocol": caption,
        "synthetic": trained.protocol.synthetic,
    }
    files.write_json(metrics_file, values)
    yield Result(values, outputs=[str(path) for path in (metrics_file, *figures)])
