"""Pretrain a Swin on hidden breast blocks, train it, explain it

A plan of three runs: an encoder learns without labels, a training takes it up and is told where the breast is, and what
it looks at is drawn and measured. What is done already counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tfm.core.errors import SettingsError
from tfm.core.plan import Step
from tfm.core.registry import planner
from tfm.core.settings import IMPORTANT, CacheName, DatasetName, NoEffect, Settings
from tfm.core.workspace import Workspace
from tfm.core.written import as_yaml_values
from tfm.models.settings import FROM_SCRATCH, Architecture, Weights
from tfm.train.settings import DEFAULT_SEED, DeviceSettings, MachineSettings

_MODEL = "SwinMIM"  # the preset by whose name its training stands in every table; it sets nothing
_SHARED = ("dataset", "cache", "fold", "architecture", "batch_size", "beta", "seed")
_IN_TRAINING = ("label_percent", "unlabelled", "pooling", "background_contrast", "attention_gamma")
_WITHOUT_PRETRAINING = NoEffect("skip_pretrain", True)
_WITHOUT_TRAINING = NoEffect("skip_train", True)


class SwinMIM(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to learn from
    224 × 224, or another multiple of 224, suits a Swin's windows best."""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    architecture: Architecture = "swin_tiny_patch4_window7_224"
    """Which encoder
    swin_tiny_patch4_window7_224, swin_small_patch4_window7_224, swin_base_patch4_window7_224; or swin_pico, which a CPU
    can train."""
    weights: Weights = FROM_SCRATCH
    """Weights that the first phase starts from: none, imagenet, run:ID or file:PATH
    The first phase that is not left out. With skip-pretrain, run:ID takes up an encoder of an earlier pretraining."""
    label_percent: Annotated[float, Field(gt=0, le=100), IMPORTANT, _WITHOUT_TRAINING] = 100.0
    """Percentage of the training women whose labels are kept
    The pretraining needs none and sees all training women. 100: everybody's."""
    unlabelled: Annotated[
        Literal["ignore", "pseudo", "consistency"], _WITHOUT_TRAINING, NoEffect("label_percent", 100)
    ] = "ignore"
    """What the images of the other women are for in the training
    ignore: nothing more. pseudo: where the network is sure of one of them, its answer is taken as a label. consistency:
    its answer should be that of its own moving average about the mirror image."""
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
    pooling: Annotated[Literal["average", "breast"], _WITHOUT_TRAINING] = "breast"
    """Over what the last features are averaged before they are classified
    average: the whole image. breast: the breast alone, each place as far as it is breast."""
    background_contrast: Annotated[float, Field(ge=0), _WITHOUT_TRAINING] = 0.1
    """Weight of how alike the features of breast and of background are, in the training
    0: not at all."""
    beta: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the spectral norms of the layers that attention comes from, in both phases
    0: not at all, as for an encoder without attention."""
    attention_gamma: Annotated[float, Field(ge=0), _WITHOUT_TRAINING] = 1e-3
    """Weight of how much attention piles up on the same few places, in the training
    0: not at all, as for an encoder without attention."""
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


@planner
def swin_mim(settings: SwinMIM, workspace: Workspace) -> list[Step]:
    if settings.skip_pretrain and settings.skip_train:
        raise SettingsError(
            "without pretraining and without training nothing is left to be done",
            hint="leave out one of them only; to explain a run that is done: `python wizard.py explain RUN`",
            fields=("skip_pretrain", "skip_train"),
        )
    machine = as_yaml_values(settings.machine)
    shared: dict[str, Any] = {name: getattr(settings, name) for name in _SHARED} | {"machine": machine}
    steps, weights = [], settings.weights
    if not settings.skip_pretrain:
        own = {"epochs": settings.mim_epochs, "learning_rate": settings.mim_learning_rate}
        steps.append(Step("pretrain", "pretrain", shared | own | {"weights": weights}, fresh=settings.force_pretrain))
        weights = "@pretrain.encoder"
    if not settings.skip_train:
        own = {"epochs": settings.cls_epochs, "learning_rate": settings.cls_learning_rate}
        own |= {name: getattr(settings, name) for name in _IN_TRAINING}
        steps.append(Step("train", "train", shared | own | {"weights": weights}, _MODEL, fresh=settings.force_train))
        if settings.visualize:
            device = {name: machine[name] for name in DeviceSettings.model_fields}
            steps.append(Step("explain", "explain", {"run": "@train.run", "machine": device}))
    return steps
