"""What a person may choose about training. The network's own choices stand in the models floor."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tfm.core.settings import IMPORTANT, OUT_OF_KEY, Settings


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda:\d+", text):
        raise ValueError("choose auto, cpu or cuda:N")
    return text


class BatchSettings(Settings):
    batch_size: Annotated[int, Field(ge=2), IMPORTANT] = 16
    """Images in a batch
    More need more memory; the learning rate may then grow too."""
    augment: bool = True
    """Turn, shift, mirror and brighten the training images at random
    Mild, anew each epoch; validation and test images are never touched."""


class OptimSettings(Settings):
    epochs: Annotated[int, Field(ge=1), IMPORTANT] = 60
    """Passes over the training images"""
    learning_rate: Annotated[float, Field(gt=0), IMPORTANT] = 3e-4
    """Learning rate at its highest
    It rises over the warm-up and then falls along a cosine to zero."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay
    Biases and normalisation layers are spared."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    """Epochs over which the learning rate rises"""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share by which the labels are drawn towards one half"""
    class_weights: bool = True
    """Let benign and malignant weigh the same in the loss, however many there are of each"""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after how many epochs without a better validation AUC
    None: never before the last epoch."""


class MachineSettings(Settings):
    device: Annotated[str, AfterValidator(_device), OUT_OF_KEY] = "auto"
    """Where to compute: auto, cpu or cuda:N
    auto takes the first GPU that works, else the CPU."""
    threads: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], OUT_OF_KEY] = "auto"
    """CPU threads to compute with"""
    checkpoint_seconds: Annotated[float, Field(ge=0), OUT_OF_KEY] = 60.0
    """Seconds between two checkpoints within an epoch
    Rarer where writing one takes long: a fiftieth of the time at most is spent on it."""
