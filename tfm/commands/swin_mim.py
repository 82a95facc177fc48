"""Pretrain a Swin transformer, fine-tune it and explain it

A plan of three runs: an encoder is pretrained without labels, a training starts from it and uses the breast mask, and
its attention is drawn and measured. Complete runs are reused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Planner, Repeat
from tfm.core.settings.base import IMPORTANT, CacheName, NoEffectWhen, Settings
from tfm.data.settings import ExtraFolders, TrainingDataset, ValidationFold
from tfm.models.settings import FROM_SCRATCH, Architecture, Weights
from tfm.training.inputs.settings import LabelPercent, Unlabelled
from tfm.training.settings import (
    DEFAULT_SEED,
    AttentionSinkWeight,
    BackgroundContrast,
    LossOn,
    MachineSettings,
    MaskSettings,
    Pooling,
    Seed,
    SpectralWeight,
)

_WITHOUT_PRETRAINING = NoEffectWhen("skip_pretrain", True)
_WITHOUT_TRAINING = NoEffectWhen("skip_train", True)


class SwinMIM(Settings):
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images do you want to use?
    224 × 224 pixels, or a multiple, suit the windows of a Swin best."""
    fold: ValidationFold = 1
    extra: Annotated[ExtraFolders, _WITHOUT_PRETRAINING] = ()
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder do you want to use?
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224; or swin_pico, which
    trains on a CPU."""
    weights: Weights = FROM_SCRATCH
    """Which weights should the first phase start from: none, imagenet, run:ID or file:PATH?
    Without pretraining, the first phase is the training, and run:ID can name an earlier pretraining."""
    label_percent: Annotated[LabelPercent, IMPORTANT, _WITHOUT_TRAINING] = 100.0
    unlabelled: Annotated[Unlabelled, _WITHOUT_TRAINING, NoEffectWhen("label_percent", 100)] = "ignore"
    mim_epochs: Annotated[int, Field(ge=1), IMPORTANT, _WITHOUT_PRETRAINING] = 100
    """Epochs of the pretraining (masked image modelling)"""
    cls_epochs: Annotated[int, Field(ge=1), IMPORTANT, _WITHOUT_TRAINING] = 60
    """Epochs of the training"""
    batch_size: Annotated[Literal["auto"] | Annotated[int, Field(ge=2)], IMPORTANT] = 16
    """Batch size in both phases, or auto"""
    mim_learning_rate: Annotated[float, Field(gt=0), _WITHOUT_PRETRAINING] = 3e-4
    """Peak learning rate of the pretraining"""
    cls_learning_rate: Annotated[float, Field(gt=0), _WITHOUT_TRAINING] = 1e-4
    """Peak learning rate of the training"""
    masks: Annotated[MaskSettings, _WITHOUT_PRETRAINING] = MaskSettings()
    loss_on: Annotated[LossOn, _WITHOUT_PRETRAINING] = "breast"
    pooling: Annotated[Pooling, _WITHOUT_TRAINING] = "breast"
    background_contrast: Annotated[BackgroundContrast, _WITHOUT_TRAINING] = 0.1
    beta: SpectralWeight = 1e-3
    attention_gamma: Annotated[AttentionSinkWeight, _WITHOUT_TRAINING] = 1e-3
    skip_pretrain: bool = False
    """Skip the pretraining?
    The training then starts from the weights above."""
    skip_train: bool = False
    """Skip the training, and with it the explanation?"""
    visualize: Annotated[bool, _WITHOUT_TRAINING] = True
    """Explain the trained model?
    Draws its attention on test images and measures how much of it is on lesion, breast and background."""
    force_pretrain: Annotated[bool, _WITHOUT_PRETRAINING] = False
    """Pretrain again even if the same pretraining exists?
    The old run is kept. The training then starts from the new encoder and runs again as well."""
    force_train: Annotated[bool, _WITHOUT_TRAINING] = False
    """Train again even if the same training exists?
    The old run is kept."""
    seed: Seed = DEFAULT_SEED
    machine: MachineSettings = MachineSettings()


COMMAND = Planner(
    settings=SwinMIM,
    pipeline="tfm.pipelines.swin_mim:plan_swin_mim",
    compared_by="compare",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.count_folds:count_folds"), Repeat("seeds", "seed")),
)
