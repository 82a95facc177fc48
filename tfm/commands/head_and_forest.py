"""Train a head and grow a forest on one network, average both

A plan of three runs, each a row in every comparison. What is done already counts.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Planner
from tfm.core.settings.schema import CacheName, DatasetName, ModelName, Settings
from tfm.models.settings import Weights
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, LearnerSettings


class HeadAndForest(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on
    ResNet50_Head is meant for those of the preprocessing preset resnet."""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    head: ModelName = "ResNet50_Head"
    """Which model's network the forest grows on: a preset of train"""
    weights: Literal["preset"] | Weights = "preset"
    """Weights to start from: preset, none, imagenet, run:ID or file:PATH
    preset: those that the model's preset names, which for ResNet50_Head are ImageNet's. none: from scratch."""
    learning: LearnerSettings = LearnerSettings()
    seed: int = DEFAULT_SEED
    """Seed of everything random in head and forest"""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Planner(settings=HeadAndForest, pipeline="tfm.pipelines.head_and_forest:plan_head_and_forest")
