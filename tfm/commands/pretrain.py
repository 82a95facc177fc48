"""Pretrain an encoder without labels, on hidden breast blocks

Learns from training images only, and its weights may then be used to train on the same dataset:
`setting: weights=run:ID`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Repeat, Stage
from tfm.core.settings.schema import NOT_IN_RUN_KEY, CacheName, DatasetName, InputFolder, Settings
from tfm.models.settings import FROM_SCRATCH, Architecture, Weights
from tfm.training.settings import (
    DEFAULT_SEED,
    MachineSettings,
    MaskSettings,
    UnlabelledBatches,
    UnlabelledOptim,
)

LossOn = Literal["breast", "masked"]


class Pretrain(Settings):
    dataset: DatasetName
    """Dataset whose training images are learned from
    One training woman in twenty is kept back to choose the best epoch. Validation and test are never looked at."""
    cache: CacheName
    """Preprocessed images to learn from"""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold that is left out, of a dataset with folds
    That of the training which is to use the weights. A dataset without folds has this one only."""
    extra: tuple[InputFolder, ...] = ()
    """Folders with more mammograms to learn from, without labels
    DICOM, PNG, JPEG or TIFF; commas between several. They go through the steps of the chosen cache, once.
    Left out, and told one by one: what cannot be read or is no whole mammogram, what the dataset has already, and women
    of validation and test, where a file names its woman."""
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder to pretrain
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224, or any other network of
    timm's with a feature map. The training that is to use it needs the same."""
    weights: Weights = FROM_SCRATCH
    """Weights to start from: none, imagenet, run:ID or file:PATH
    none: from scratch. imagenet: timm's own, fetched once from the Hugging Face hub and kept on this machine."""
    masks: MaskSettings = MaskSettings()
    loss_on: LossOn = "breast"
    """Which part of the breast must be rebuilt well
    breast: all of it, hidden or not. masked: only what was hidden."""
    beta: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the spectral norms of the layers that attention comes from
    It holds back how sharply attention can tell places apart. 0: not at all, as for an encoder without attention."""
    batches: UnlabelledBatches = UnlabelledBatches()
    optim: UnlabelledOptim = UnlabelledOptim()
    pictures_every: Annotated[int, Field(ge=1), NOT_IN_RUN_KEY] = 10
    """After how many epochs what is rebuilt is drawn
    And after the last one."""
    seed: int = DEFAULT_SEED
    """Seed of everything random: who is kept back, first weights, order, augmentation, hidden blocks"""
    machine: MachineSettings = MachineSettings()


COMMAND = Stage(
    settings=Pretrain,
    pipeline="tfm.pipelines.pretrain:pretrain",
    version=3,
    repeats=(Repeat("seeds", "seed"),),
)
