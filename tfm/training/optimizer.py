"""Optimizers by name, and the learning rate as a function of the step: the schedule has no state to restore."""

from __future__ import annotations

import math

import torch
from torch import nn

from tfm.training.settings import OptimizerSettings

_MOMENTUM = 0.9


def make_optimizer(network: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    trained = [tensor for tensor in network.parameters() if tensor.requires_grad]
    groups = [
        {"params": [tensor for tensor in trained if tensor.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [tensor for tensor in trained if tensor.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.learning_rate, momentum=_MOMENTUM, nesterov=True)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, settings.learning_rate)


def get_learning_rate(settings: OptimizerSettings, step: int, steps_an_epoch: int) -> float:
    """Warm-up, then a cosine, for steps 0, 1, …: never zero, so that every step changes the weights."""
    warmup = settings.warmup_epochs * steps_an_epoch
    if step + 1 < warmup:
        return settings.learning_rate * (step + 1) / warmup
    remaining = max(settings.epochs * steps_an_epoch - warmup, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(max(step - warmup, 0) / remaining, 1)))
