"""Search a model's settings, then train it with the best ones

A plan of two runs: the study, and its winner with all the epochs of the model's preset. What is done already counts.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Planner
from tfm.core.settings.schema import IMPORTANT, CacheName, DatasetName, Settings
from tfm.training.settings import MachineSettings


class TuneAndTrain(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    search: str = "any"
    """Which search: a preset of tune
    It says which model, and which of its settings are searched."""
    trials: Annotated[int, Field(ge=1), IMPORTANT] = 20
    """How many trials, in all"""
    machine: MachineSettings = MachineSettings()


COMMAND = Planner(settings=TuneAndTrain, pipeline="tfm.pipelines.tune_and_train:plan_tune_and_train")
