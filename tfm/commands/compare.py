"""Compare trained models and test their differences

Ranks the models by AUC, marks the best and all that this test cannot tell from it, and says how many patients could.
Models that were tested on different data are in separate tables. All tables and figures are written as files, for
LaTeX too. They count images, breasts or patients, as you choose.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.analysis.settings import ExternalDataset, UnitSettings
from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, NoEffectWhen, RunWithPredictions, Settings
from tfm.training.settings import DeviceSettings


class Compare(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models do you want to compare?
    If you name none, all complete ones in the workspace are used."""
    dataset: Annotated[ExternalDataset, IMPORTANT] = None
    units: UnitSettings = UnitSettings()
    machine: Annotated[DeviceSettings, NoEffectWhen("dataset", None)] = DeviceSettings()


COMMAND = Stage(
    settings=Compare,
    pipeline="tfm.pipelines.compare:compare",
    version=4,
    inspect="tfm.pipelines.offer_datasets:offer_datasets",
)
