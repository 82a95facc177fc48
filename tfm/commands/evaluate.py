"""Measure a trained model on its test images

Reads the predictions that its train run left, and writes figures into a run of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from tfm.core.events import Event, Picture, Result, Table
from tfm.core.registry import stage
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.settings.schema import POSITIONAL, RunWithPredictions, Settings


class Evaluate(Settings):
    run: Annotated[RunWithPredictions, POSITIONAL]
    """Which trained model to measure"""


@stage(version=3)
def evaluate(settings: Evaluate, run: Run) -> Iterator[Event]:
    from tfm.analysis.evaluation import evaluate, format_interval
    from tfm.analysis.figures import draw_roc
    from tfm.analysis.trained_run import open_trained_model
    from tfm.core import files

    trained = open_trained_model(find_run(run.workspace, settings.run))
    judged = evaluate(trained)
    said = trained.protocol.words
    figures = {"AUC": judged.auc, **judged.rates}
    yield Table(
        f"{trained.model} on the test images",
        ["figure", "value (95 % interval)"],
        [[name, format_interval(interval)] for name, interval in figures.items()],
        said,
    )
    counts = judged.confusion
    yield Table(
        f"At the threshold {trained.written_threshold}",
        ["", "called malignant", "called benign"],
        [["malignant", str(counts.tp), str(counts.fn)], ["benign", str(counts.fp), str(counts.tn)]],
        said,
    )
    roc, metrics = run.figures_folder / "roc.png", run.folder / "metrics.json"
    draw_roc(roc, trained, judged)
    yield Picture(str(roc), f"ROC curve of {trained.model}")
    values = {
        "run": run.id,
        "trained": trained.run,
        "model": trained.model,
        **judged.values(),
        "threshold": trained.threshold,
        "threshold_rule": trained.protocol.threshold_rule,
        "n_images": trained.protocol.images,
        "n_patients": trained.protocol.women,
        "protocol": said,
        "synthetic": trained.protocol.synthetic,
    }
    files.write_json(metrics, values)
    yield Result(values, outputs=[str(metrics), str(roc)])
