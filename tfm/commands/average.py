"""Average the predictions of several trained models

Each image gets the mean of what the models say of it: a row of its own in every comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from tfm.core.events import Event, Note, Result
from tfm.core.registry import stage
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.settings.schema import POSITIONAL, Input, Settings

Member = Annotated[str, Input("run", made_by=("train", "forest"))]


def _several(runs: list[str]) -> list[str]:
    if len(set(runs)) < 2:
        raise ValueError("an average needs two models at least")
    return list(dict.fromkeys(runs))


class Average(Settings):
    runs: Annotated[list[Member], POSITIONAL, AfterValidator(_several)]
    """Which trained models to average
    Each counts the same. They must have been trained and tested on the same split. None named: every finished one of
    the workspace."""


@stage(version=2)
def average(settings: Average, run: Run) -> Iterator[Event]:
    from tfm.analysis.ensemble import build_ensemble
    from tfm.analysis.predictions import save_predictions

    yield from report_skipped_runs(run.workspace, settings, "runs")
    mean = build_ensemble([find_run(run.workspace, name) for name in settings.runs])
    run.save_facts(**mean.facts)
    rule = mean.models[0].protocol.threshold_rule
    result = save_predictions(run, mean.predictions, rule) | mean.result
    yield Note(f"the mean of {len(mean.models)} models: {result['model']}")
    yield Result(result, outputs=[str(run.predictions_file(split)) for split in mean.predictions])
