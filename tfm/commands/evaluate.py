"""Measure a trained model on its test images

Reads the predictions that its train run left, and writes figures into a run of its own.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Stage
from tfm.core.settings.schema import POSITIONAL, RunWithPredictions, Settings


class Evaluate(Settings):
    run: Annotated[RunWithPredictions, POSITIONAL]
    """Which trained model to measure"""


COMMAND = Stage(settings=Evaluate, pipeline="tfm.pipelines.evaluate:evaluate", version=3)
