"""A training as it stands: the network, what improves it, and how far it has come; kept whole, taken up whole.

How it goes on from there is the loop's.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from tfm.core import hints
from tfm.core.errors import TrainingError
from tfm.training.batches import Images
from tfm.training.distributed.process_group import Ranks
from tfm.training.settings import BatchSettings, OptimSettings
from tfm.training.tasks import Task


@dataclass
class Standing:
    """How far a training has come: with the tensors, all that the loop needs to go on."""

    epoch: int = 0
    epoch_step: int = 0  # steps of this epoch that are done
    step: int = 0
    loss_sum: float = 0.0  # over this epoch's images so far
    best: float = -math.inf
    stale: int = 0  # epochs since the best
    rows: list[dict[str, float]] = field(default_factory=list)  # of metrics.csv


@dataclass
class Training:
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    task: Task
    train: Images
    val: Images
    optim: OptimSettings
    batches: BatchSettings
    precision: str
    seed: int
    batch_size: int  # images on the device at once; 0 until that has been tried out
    stepped: nn.Module  # the network as steps call it: itself, or compiled
    standing: Standing = field(default_factory=Standing)
    ranks: Ranks = field(default_factory=Ranks)  # the processes that train it
    answered: list[torch.Tensor] = field(default_factory=list)  # (B, k) each: of this epoch's batches so far

    @property
    def finished(self) -> bool:
        impatient = self.optim.patience is not None and self.standing.stale >= self.optim.patience
        return impatient or self.standing.epoch >= self.optim.epochs

    @property
    def judged(self) -> nn.Module:
        """The network that is validated, kept as the best and asked for predictions."""
        return self.ema.module if self.ema else self.network

    def content(self) -> dict[str, Any]:
        """All of it, for a checkpoint: plain numbers, and tensors as they stand."""
        return {
            "standing": asdict(self.standing),
            "answered": torch.cat([torch.empty(0), *self.answered]),
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "task": self.task.state(),
        }

    def best_content(self) -> dict[str, Any]:
        """What predictions need of it; nothing goes on from there."""
        return {"standing": asdict(self.standing), "network": self.judged.state_dict()}

    def take_up(self, content: dict[str, Any]) -> None:
        try:
            self.standing = Standing(**content["standing"])
            self.answered = [content["answered"]]
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.task.take_up(content["task"])
            if self.ema:
                self.ema.module.load_state_dict(content["ema"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(content["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise TrainingError(
                f"the checkpoint is not one of this training of {type(self.network).__name__}: "
                f"{str(error).strip().splitlines()[-1].strip()}",
                hint=f"put back the checkpoints that were made with it, or train anew: "
                f"{hints.command('runs restart RUN')}",
            ) from error
