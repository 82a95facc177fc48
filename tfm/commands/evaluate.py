"""Evaluate trained models on validation and test

Reads the predictions of the runs and writes metrics, tables and figures to a run of its own: per image, per breast and
per patient, in subgroups, and with calibrated probabilities.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, RunWithPredictions, Settings


class Evaluate(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models do you want to evaluate?
    If you name none, all complete ones in the workspace are used."""


COMMAND = Stage(settings=Evaluate, pipeline="tfm.pipelines.evaluate:evaluate", version=5)
