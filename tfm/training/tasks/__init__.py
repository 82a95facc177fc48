"""What the loop asks of a task. What a network learns from stands in the tasks themselves, and how in the loop."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import nn

from tfm.training.batches import Batch


class Task(Protocol):
    @property
    def needs(self) -> frozenset[str]:
        """What it looks at beside the images: "labels", "breast" and "lesions"."""

    @property
    def chances(self) -> int:
        """How many numbers in [0, 1) it draws for each image, anew in each epoch and always the same for validation."""

    @property
    def columns(self) -> list[str]:
        """What `learned` and `figures` give, in the order of metrics.csv."""

    @property
    def best(self) -> str:
        """The column that is to be as high as possible."""

    def advance(self, network: nn.Module) -> None:
        """Once before each step of the optimizer, however many batches that has: what it gathers over the steps."""

    def loss(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Over the batch's images, their sum: the loop divides by the number of images of a whole step. And (B, k):
        what `learned` has to know of each image, and no more."""

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, k): what `figures` has to know of each image, and no more, for it is kept for a whole split."""

    def learned(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Of an epoch's training images as the network saw them, augmented, and answered at its steps: it was another
        network at each. Shaped as for `figures`."""

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Of a whole split: answers (n, k) float32 on the CPU, labels (n,)."""

    def state(self) -> dict[str, torch.Tensor]:
        """What it has gathered over the steps beside the network, for a checkpoint."""

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        """The other way round; a ValueError where it is not this task's."""
