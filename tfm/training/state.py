"""A training: network, optimizer, task, images, and how far it has come. All of it fits in a checkpoint.

The steps are taken in loop.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from tfm.core import hints
from tfm.core.errors import TrainingError
from tfm.models.weights import NORMALISATION
from tfm.training.batches import Images
from tfm.training.distributed.processes import SingleProcess
from tfm.training.tasks import Task

if TYPE_CHECKING:
    from tfm.training.recipe import TrainingRecipe


@dataclass
class LoopState:
    """How far a training has come. The names of the fields are keys of a checkpoint."""

    epoch: int = 0  # finished epochs
    epoch_step: int = 0  # finished steps of the current epoch
    step: int = 0
    loss_sum: float = 0.0  # over the current epoch's images so far
    best: float = -math.inf
    stale: int = 0  # epochs since the best one
    rows: list[dict[str, float]] = field(default_factory=list)  # of metrics.csv


@dataclass
class Training:
    recipe: TrainingRecipe
    network: nn.Module
    compiled_network: nn.Module  # called in training steps: the network itself, or its compiled form
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    task: Task
    train: Images
    val: Images
    batch_size: int  # images on the device at once; 0 until `auto` is resolved
    state: LoopState = field(default_factory=LoopState)
    processes: SingleProcess = field(default_factory=SingleProcess)
    train_outputs: list[torch.Tensor] = field(default_factory=list)  # (B, k) for each batch of the current epoch

    @property
    def device(self) -> torch.device:
        return self.train.device

    @property
    def precision(self) -> str:
        return self.recipe.machine.precision

    @property
    def is_finished(self) -> bool:
        settings = self.recipe.optimizer
        out_of_patience = settings.patience is not None and self.state.stale >= settings.patience
        return out_of_patience or self.state.epoch >= settings.epochs

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that validates, predicts and is saved as the best: the moving average where there is one."""
        return self.ema.module if self.ema else self.network

    def state_dict(self) -> dict[str, Any]:
        return {
            "standing": asdict(self.state),
            "answered": torch.cat([torch.empty(0), *self.train_outputs]),
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "task": self.task.state_dict(),
            NORMALISATION: self.train.normalisation.to_facts(),
        }

    def best_state_dict(self) -> dict[str, Any]:
        """What predictions need. Training cannot resume from it."""
        return {
            "standing": asdict(self.state),
            "network": self.evaluated_network.state_dict(),
            NORMALISATION: self.train.normalisation.to_facts(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        try:
            self.state = LoopState(**saved["standing"])
            self.train_outputs = [saved["answered"]]
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.task.load_state_dict(saved["task"])
            if self.ema:
                self.ema.module.load_state_dict(saved["ema"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(saved["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise TrainingError(
                f"the checkpoint does not fit this training of {type(self.network).__name__}: "
                f"{str(error).strip().splitlines()[-1].strip()}",
                hint=f"put the run's own checkpoints back, or train again from the start: "
                f"{hints.command('runs restart RUN')}",
            ) from error
