"""Pretrain a Swin transformer, fine-tune it and explain it

A plan of three runs: an encoder learns without labels, a training takes it up and is told where the breast is, and what
it looks at is drawn and measured. What is done already counts.
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from tfm.commands.pretrain import LossOn, Pretrain
from tfm.core.registry import Planner
from tfm.core.settings.schema import IMPORTANT, CacheName, DatasetName, InputFolder, NoEffectWhen, Settings
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


def _told(settings: type[Settings], name: str) -> FieldInfo:
    """Another stage's setting in its own words and bounds. Where it does nothing is another matter here."""
    field = copy.copy(settings.model_fields[name])
    field.metadata = [one for one in field.metadata if not isinstance(one, NoEffectWhen)]
    return field


class SwinMIM(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to learn from
    224 × 224, or another multiple of 224, suits a Swin's windows best."""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    extra: Annotated[tuple[InputFolder, ...], _WITHOUT_PRETRAINING] = ()
    """Folders with more mammograms for the pretraining, without labels
    DICOM, PNG, JPEG or TIFF; commas between several. They go through the steps of the chosen cache, once.
    What is left out is told one by one, with the reason."""
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224; or swin_pico, which a CPU
    can train."""
    weights: Weights = FROM_SCRATCH
    """Weights that the first phase starts from: none, imagenet, run:ID or file:PATH
    The first phase that is not left out. With skip-pretrain, run:ID takes up an encoder of an earlier pretraining."""
    label_percent: Annotated[float, _told(LabelSettings, "label_percent"), IMPORTANT, _WITHOUT_TRAINING] = 100.0
    unlabelled: Annotated[
        Unlabelled, _told(LabelSettings, "unlabelled"), _WITHOUT_TRAINING, NoEffectWhen("label_percent", 100)
    ] = "ignore"
    mim_epochs: Annotated[int, Field(ge=1), IMPORTANT, _WITHOUT_PRETRAINING] = 100
    """Passes over the training images in the pretraining (masked image modelling)"""
    cls_epochs: Annotated[int, Field(ge=1), IMPORTANT, _WITHOUT_TRAINING] = 60
    """Passes over the labelled training images in the training"""
    batch_size: Annotated[Literal["auto"] | Annotated[int, Field(ge=2)], IMPORTANT] = 16
    """Images that are on the device at once, in both phases, or auto"""
    mim_learning_rate: Annotated[float, Field(gt=0), _WITHOUT_PRETRAINING] = 3e-4
    """Learning rate of the pretraining at its highest"""
    cls_learning_rate: Annotated[float, Field(gt=0), _WITHOUT_TRAINING] = 1e-4
    """Learning rate of the training at its highest"""
    masks: Annotated[MaskSettings, _WITHOUT_PRETRAINING] = MaskSettings()
    loss_on: Annotated[LossOn, _told(Pretrain, "loss_on"), _WITHOUT_PRETRAINING] = "breast"
    pooling: Annotated[Pooling, _told(BreastSettings, "pooling"), _WITHOUT_TRAINING] = "breast"
    background_contrast: Annotated[float, _told(BreastSettings, "background_contrast"), _WITHOUT_TRAINING] = 0.1
    beta: Annotated[float, _told(BreastSettings, "beta")] = 1e-3
    attention_gamma: Annotated[float, _told(BreastSettings, "attention_gamma"), _WITHOUT_TRAINING] = 1e-3
    skip_pretrain: bool = False
    """Leave the first phase out
    The training then starts from the weights named above."""
    skip_train: bool = False
    """Leave the second phase out, and the third, which would have nothing to explain"""
    visualize: Annotated[bool, _WITHOUT_TRAINING] = True
    """Explain the trained network in a third phase
    Pictures of where it looks in test images, and how much of that is lesion, breast or background."""
    force_pretrain: Annotated[bool, _WITHOUT_PRETRAINING] = False
    """Pretrain anew, also where the same was done before
    The old run stays. The training then starts from the new encoder, and so is new as well."""
    force_train: Annotated[bool, _WITHOUT_TRAINING] = False
    """Train anew, also where the same was done before
    The old run stays."""
    seed: int = DEFAULT_SEED
    """Seed of everything random in all phases"""
    machine: MachineSettings = MachineSettings()


COMMAND = Planner(settings=SwinMIM, pipeline="tfm.pipelines.swin_mim:plan_swin_mim")
