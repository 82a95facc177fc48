"""Pretrain an encoder by masked image modelling

Needs no labels and uses training images only. Its weights can then be used to train on the same dataset, as run:ID.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Repeat, Stage
from tfm.core.settings.schema import NOT_IN_RUN_KEY, DatasetName, InputFolder, Settings
from tfm.data.settings import TrainingCache
from tfm.models.settings import FROM_SCRATCH, Architecture, Weights
from tfm.training.settings import (
    DEFAULT_SEED,
    BatchSettings,
    MachineSettings,
    MaskSettings,
    OptimizerSettings,
)

LossOn = Literal["breast", "masked"]


class Pretrain(Settings):
    dataset: DatasetName
    """Which dataset?
    Only its training images are used. One training patient in twenty is held out to choose the best epoch."""
    cache: TrainingCache
    fold: Annotated[int, Field(ge=1)] = 1
    """Which fold is left out?
    Use the fold of the later training. A dataset without folds has fold 1 only."""
    extra: tuple[InputFolder, ...] = ()
    """Folders with more mammograms without labels
    DICOM, PNG, JPEG or TIFF; separate several by commas. They are preprocessed once by the steps of the chosen
    cache. Unreadable files, files that are no whole mammogram, duplicates of the dataset and, if a file names its
    patient, patients of validation and test are left out and listed."""
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder do you want to pretrain?
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224, or any other timm
    model with a feature map. The later training needs the same."""
    weights: Weights = FROM_SCRATCH
    """Weights to start from: none, imagenet, run:ID or file:PATH
    none: random weights. imagenet: from timm, downloaded once from the Hugging Face hub and kept on this machine."""
    masks: MaskSettings = MaskSettings()
    loss_on: LossOn = "breast"
    """Which part of the breast counts in the loss: breast or masked?
    breast: the whole breast. masked: only the hidden blocks."""
    beta: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the spectral norms of the query and key layers
    It limits how sharply attention can separate places. 0: off, as for an encoder without attention."""
    batches: BatchSettings = BatchSettings()
    optim: OptimizerSettings = OptimizerSettings()
    pictures_every: Annotated[int, Field(ge=1), NOT_IN_RUN_KEY] = 10
    """Draw the reconstruction after every how many epochs?
    It is also drawn after the last epoch."""
    seed: int = DEFAULT_SEED
    """Seed of everything random: held-out patients, initial weights, order, augmentation, hidden blocks"""
    machine: MachineSettings = MachineSettings()


COMMAND = Stage(
    settings=Pretrain,
    pipeline="tfm.pipelines.pretrain:pretrain",
    version=3,
    repeats=(Repeat("seeds", "seed"),),
)
