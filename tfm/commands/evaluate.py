"""Evaluate a trained model on its test images

Reads the predictions of the training run and writes the metrics to a run of its own.
"""

from __future__ import annotations

from typing import Annotated

from tfm.analysis.settings import UnitSettings
from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, RunWithPredictions, Settings


class Evaluate(Settings):
    run: Annotated[RunWithPredictions, POSITIONAL]
    """Which trained model do you want to evaluate?"""
    units: UnitSettings = UnitSettings()


COMMAND = Stage(settings=Evaluate, pipeline="tfm.pipelines.evaluate:evaluate", version=4)
