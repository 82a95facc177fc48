"""What the loop asks of a task. Each task has a module here; specs says what a task is made from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import nn

from tfm.training.batches import Batch


class Task(Protocol):
    @property
    def needs(self) -> frozenset[str]:
        """Arrays it needs beside the images: "labels", "breast", "lesions"."""

    @property
    def draws(self) -> int:
        """Random numbers in [0, 1) for each image: new in each epoch, always the same in validation."""
        return 0

    @property
    def columns(self) -> list[str]:
        """The names of all metrics, in the order of metrics.csv."""

    @property
    def best(self) -> str:
        """The metric that chooses the best epoch: higher is better."""

    def start_step(self, network: nn.Module) -> None:
        """Update the task's own state once before each step of the optimizer."""
        return

    def compute_loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the sum of the losses of the batch's images, and (B, k) outputs for the training metrics.

        The loop divides the sum by the number of images of a whole step.
        """

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Compute (B, k) outputs for the validation metrics; they are kept in memory for a whole split."""

    def compute_train_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Compute metrics from an epoch's training outputs. The images were augmented and the weights changed."""

    def compute_val_metrics(self, outputs: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Compute metrics of a whole split: outputs (n, k) float32 on the CPU, labels (n,)."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What the task keeps between steps, for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Raise a ValueError where the state is not this task's."""
        if state:
            raise ValueError("the checkpoint has state that this task does not keep")
