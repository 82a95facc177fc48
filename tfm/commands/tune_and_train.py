"""Search a model's settings, then train it with the best ones

A plan of two runs: the study, and its winner with all the epochs of the model's preset. Complete runs are reused.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Planner, Repeat
from tfm.core.settings.base import IMPORTANT, Settings
from tfm.data.settings import TrainingCache, TrainingDataset, ValidationFold
from tfm.training.settings import MachineSettings


class TuneAndTrain(Settings):
    dataset: TrainingDataset
    cache: TrainingCache
    fold: ValidationFold = 1
    search: str = "any"
    """Which search do you want to run? (a preset of tune)
    It sets the model and its search space."""
    trials: Annotated[int, Field(ge=1), IMPORTANT] = 20
    """How many trials should the study have in total?"""
    machine: MachineSettings = MachineSettings()


COMMAND = Planner(
    settings=TuneAndTrain,
    pipeline="tfm.pipelines.tune_and_train:plan_tune_and_train",
    compared_by="compare",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.count_folds:count_folds"),),
)
