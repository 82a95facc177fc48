"""See how much wrong ways to split data would claim

A plan that trains one model with an honest split by patient and with wrong splits that people publish: by image,
augmentation before the split, epoch and threshold chosen on test. Each states the AUC that it would claim, and the AUC
on patients that no run has seen. These runs cannot be compared, averaged, explained, exported or reported.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Planner
from tfm.core.settings.base import CacheName, ModelName, Settings
from tfm.data.settings import TrainingDataset
from tfm.models.settings import Weights
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, Seed

Epochs = Literal["preset"] | Annotated[int, Field(ge=1)]


class LeakLab(Settings):
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images do you want to use?"""
    model: ModelName = "ResNet18_CFT"
    """Which model should be trained in each way? (a preset of train)"""
    weights: Literal["preset"] | Weights = "preset"
    """Which weights should training start from: preset, none, imagenet, run:ID or file:PATH?
    preset: those of the model's preset. none: random weights."""
    epochs: Epochs = "preset"
    """How many epochs should each training have: a number, or preset?
    All have as many: none stops early."""
    seed: Seed = DEFAULT_SEED
    machine: DeviceSettings = DeviceSettings()


COMMAND = Planner(settings=LeakLab, pipeline="tfm.pipelines.leak_lab:plan_leak_lab")
