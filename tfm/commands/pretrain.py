"""Pretrain an encoder by masked image modelling

Needs no labels and uses training images only. Its weights can then be used to train on the same dataset, as run:ID.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Repeat, Stage
from tfm.core.settings.base import NOT_IN_RUN_KEY, DatasetName, Settings
from tfm.data.settings import ExtraFolders, TrainingCache
from tfm.models.settings import FROM_SCRATCH, Architecture, Weights
from tfm.training.settings import (
    DEFAULT_SEED,
    BatchSettings,
    LossOn,
    MachineSettings,
    MaskSettings,
    OptimizerSettings,
    Seed,
    SpectralWeight,
)


class Pretrain(Settings):
    dataset: DatasetName
    """Which dataset do you want to use?
    Only its training images are used. One training patient in twenty is held out to choose the best epoch."""
    cache: TrainingCache
    fold: Annotated[int, Field(ge=1)] = 1
    """Which fold should be left out?
    Use the fold of the later training. A dataset without folds has fold 1 only."""
    extra: ExtraFolders = ()
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder do you want to pretrain?
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224, or any other timm
    model with a feature map. The later training needs the same."""
    weights: Weights = FROM_SCRATCH
    """Which weights should training start from: none, imagenet, run:ID or file:PATH?
    none: random weights. imagenet: from a package for tf_efficientnet_lite0, else downloaded once from the Hugging Face
    hub and kept on this machine."""
    masks: MaskSettings = MaskSettings()
    loss_on: LossOn = "breast"
    beta: SpectralWeight = 1e-3
    batches: BatchSettings = BatchSettings()
    optim: OptimizerSettings = OptimizerSettings()
    pictures_every: Annotated[int, Field(ge=1), NOT_IN_RUN_KEY] = 10
    """After how many epochs should a reconstruction be drawn each time?
    It is also drawn after the last epoch."""
    seed: Seed = DEFAULT_SEED
    machine: MachineSettings = MachineSettings()


COMMAND = Stage(
    settings=Pretrain,
    pipeline="tfm.pipelines.pretrain:pretrain",
    version=4,
    is_distributed=True,
    repeats=(Repeat("seeds", "seed"),),
)
