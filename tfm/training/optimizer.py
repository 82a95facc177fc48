"""Optimizers by name, and the learning rate as a pure function of the step: a schedule has no state to lose."""

from __future__ import annotations

import math

import torch
from torch import nn

from tfm.training.settings import OptimSettings

_MOMENTUM = 0.9


def optimizer(network: nn.Module, settings: OptimSettings) -> torch.optim.Optimizer:
    trained = [tensor for tensor in network.parameters() if tensor.requires_grad]
    groups = [
        {"params": [tensor for tensor in trained if tensor.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [tensor for tensor in trained if tensor.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.learning_rate, momentum=_MOMENTUM, nesterov=True)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, settings.learning_rate)


def learning_rate(settings: OptimSettings, step: int, steps_an_epoch: int) -> float:
    """That of step 0, 1, …: never zero, so that no step is in vain."""
    warmup = settings.warmup_epochs * steps_an_epoch
    if step + 1 < warmup:
        return settings.learning_rate * (step + 1) / warmup
    remaining = max(settings.epochs * steps_an_epoch - warmup, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(max(step - warmup, 0) / remaining, 1)))


def set_learning_rate(chosen: torch.optim.Optimizer, rate: float) -> None:
    for group in chosen.param_groups:
        group["lr"] = rate
