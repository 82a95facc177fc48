"""Evaluate trained models on their test or another dataset

Reads the predictions of the runs and writes metrics, tables and figures to a run of its own: per image, per breast and
per patient, in subgroups, and with calibrated probabilities. With another dataset, it predicts all images of it and
measures how much lower the metrics are there.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.analysis.settings import ExternalDataset
from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, NoEffectWhen, RunWithPredictions, Settings
from tfm.training.settings import DeviceSettings


class Evaluate(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models do you want to evaluate?
    If you name none, all complete ones in the workspace are used."""
    dataset: Annotated[ExternalDataset, IMPORTANT] = None
    machine: Annotated[DeviceSettings, NoEffectWhen("dataset", None)] = DeviceSettings()


COMMAND = Stage(
    settings=Evaluate,
    pipeline="tfm.pipelines.evaluate:evaluate",
    version=5,
    inspect="tfm.pipelines.offer_datasets:offer_datasets",
)
