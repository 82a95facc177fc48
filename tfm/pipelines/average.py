"""Average the predictions of several trained models."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.ensemble import build_ensemble
from tfm.analysis.predictions import save_predictions
from tfm.commands.average import Average
from tfm.core.events import Event, Result
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run


def average(settings: Average, run: Run) -> Iterator[Event]:
    yield from report_skipped_runs(run.workspace, settings, "runs")
    mean = build_ensemble([find_run(run.workspace, name) for name in settings.runs])
    run.save_facts(**mean.facts)
    rule = mean.models[0].protocol.threshold_rule
    result = save_predictions(run, mean.predictions, rule) | mean.result
    summary = (
        f"{result['model']} is the mean of {len(mean.models)} models. Its validation AUC is {result['val_auc']:.3f}."
    )
    yield Result(result, [str(run.predictions_file(split)) for split in mean.predictions], summary)
