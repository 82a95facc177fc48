"""Train a head and a forest on one backbone, average both

A plan of three runs, each a row in every comparison. Complete runs are reused.
"""

from __future__ import annotations

from typing import Literal

from tfm.core.registry import Planner, Repeat
from tfm.core.settings.base import CacheName, ModelName, Settings
from tfm.data.settings import TrainingDataset, ValidationFold
from tfm.models.settings import Weights
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, LearnerSettings, Seed


class HeadAndForest(Settings):
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images do you want to use?
    ResNet50_Head is meant for a cache made with the preset resnet."""
    fold: ValidationFold = 1
    head: ModelName = "ResNet50_Head"
    """Which model is the backbone? (a preset of train)"""
    weights: Literal["preset"] | Weights = "preset"
    """Which weights should training start from: preset, none, imagenet, run:ID or file:PATH?
    preset: those of the model's preset, for ResNet50_Head ImageNet's. none: random weights."""
    learning: LearnerSettings = LearnerSettings()
    seed: Seed = DEFAULT_SEED
    machine: DeviceSettings = DeviceSettings()


COMMAND = Planner(
    settings=HeadAndForest,
    pipeline="tfm.pipelines.head_and_forest:plan_head_and_forest",
    compared_by="compare",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.count_folds:count_folds"), Repeat("seeds", "seed")),
)
