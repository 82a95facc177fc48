"""Train a model for the leak lab, split as you say

One step of leak-lab. Its run is marked and can be used in no comparison, average, explanation, export or report. Its
weights are deleted at its end, so that nobody can start from them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from tfm.commands.leak_lab import Epochs
from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, CacheName, ModelName, Settings
from tfm.data.settings import TrainingDataset, WayToSplit
from tfm.models.settings import Weights
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, Seed


class LeakTraining(Settings):
    way: Annotated[WayToSplit, POSITIONAL]
    """How should the images be split: by-patient, by-image, augment-then-split or on-test?
    by-patient: honest. by-image: images of one patient in training and test. augment-then-split: copies of one image in
    training and test. on-test: by patient, but test images choose the epoch."""
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images do you want to use?"""
    model: ModelName = "ResNet18_CFT"
    """Which model should be trained? (a preset of train)"""
    weights: Literal["preset"] | Weights = "preset"
    """Which weights should training start from: preset, none, imagenet, run:ID or file:PATH?"""
    epochs: Epochs = "preset"
    """How many epochs should the training have: a number, or preset?"""
    seed: Seed = DEFAULT_SEED
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=LeakTraining, pipeline="tfm.pipelines.leak_training:train_leak", version=1)
