"""Pretrain a Swin transformer, fine-tune it and explain it

A plan of three runs: an encoder is pretrained without labels, a training starts from it and uses the breast mask, and
its attention is drawn and measured. Complete runs are reused.
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from tfm.commands.pretrain import LossOn, Pretrain
from tfm.core.registry import Planner
from tfm.core.settings.schema import IMPORTANT, CacheName, InputFolder, NoEffectWhen, Settings
from tfm.data.settings import TrainingDataset, ValidationFold
from tfm.models.settings import FROM_SCRATCH, Architecture, Weights
from tfm.training.settings import (
    DEFAULT_SEED,
    BreastSettings,
    LabelSettings,
    MachineSettings,
    MaskSettings,
    Pooling,
    Unlabelled,
)

_WITHOUT_PRETRAINING = NoEffectWhen("skip_pretrain", True)

_WITHOUT_TRAINING = NoEffectWhen("skip_train", True)


def _copy_field(settings: type[Settings], name: str) -> FieldInfo:
    """Another command's setting with its text and bounds, without its conditions."""
    field = copy.copy(settings.model_fields[name])
    field.metadata = [one for one in field.metadata if not isinstance(one, NoEffectWhen)]
    return field


class SwinMIM(Settings):
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images?
    224 × 224 pixels, or a multiple, suit the windows of a Swin best."""
    fold: ValidationFold = 1
    extra: Annotated[tuple[InputFolder, ...], _WITHOUT_PRETRAINING] = ()
    """Folders with more mammograms for pretraining, without labels
    DICOM, PNG, JPEG or TIFF; separate several by commas. They are preprocessed once by the steps of the chosen
    cache. Whatever is left out is listed with the reason."""
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder?
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224; or swin_pico, which
    trains on a CPU."""
    weights: Weights = FROM_SCRATCH
    """Initial weights of the first phase: none, imagenet, run:ID or file:PATH
    With skip-pretrain, the first phase is the training, and run:ID names an earlier pretraining."""
    label_percent: Annotated[float, _copy_field(LabelSettings, "label_percent"), IMPORTANT, _WITHOUT_TRAINING] = 100.0
    unlabelled: Annotated[
        Unlabelled, _copy_field(LabelSettings, "unlabelled"), _WITHOUT_TRAINING, NoEffectWhen("label_percent", 100)
    ] = "ignore"
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
    loss_on: Annotated[LossOn, _copy_field(Pretrain, "loss_on"), _WITHOUT_PRETRAINING] = "breast"
    pooling: Annotated[Pooling, _copy_field(BreastSettings, "pooling"), _WITHOUT_TRAINING] = "breast"
    background_contrast: Annotated[float, _copy_field(BreastSettings, "background_contrast"), _WITHOUT_TRAINING] = 0.1
    beta: Annotated[float, _copy_field(BreastSettings, "beta")] = 1e-3
    attention_gamma: Annotated[float, _copy_field(BreastSettings, "attention_gamma"), _WITHOUT_TRAINING] = 1e-3
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
    seed: int = DEFAULT_SEED
    """Seed of everything random in all phases"""
    machine: MachineSettings = MachineSettings()


COMMAND = Planner(settings=SwinMIM, pipeline="tfm.pipelines.swin_mim:plan_swin_mim")
