"""The processes that train one network together, as the loop knows them: one by itself is the ordinary case.

How the first process starts the others stands in leader, what those do in follower.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn


class Ranks:
    """One process by itself."""

    rank, count = 0, 1

    def begin(self, content: dict[str, Any]) -> None:
        """The others take up the training as it stands here."""

    def tell(self, epoch: int, epoch_step: int, step: int) -> None:
        """The others take this step too; which images those are, each knows by itself."""

    def share(self, batches: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
        """Which of a step's batches are ours. Each keeps the number that it has among all, so that its dropout is the
        same whoever takes it."""
        return list(enumerate(batches))[self.rank :: self.count]

    def add_up(self, network: nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Over all processes: the losses, and in place the gradients."""
        return loss

    def collect(self, given: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """What was answered to each batch, by its number: on the CPU, in their order. The first process gets that of
        all, the others nothing."""
        return [answers.float().cpu() for _, answers in sorted(given.items())]


class Together(Ranks, ABC):
    """One of several. All get the same sums to the last bit, and so they take the same step."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count

    def add_up(self, network: nn.Module, loss: torch.Tensor) -> torch.Tensor:
        gradients = []
        for tensor in network.parameters():
            if tensor.requires_grad:
                if tensor.grad is None:  # a step may have fewer batches than there are processes
                    tensor.grad = torch.zeros_like(tensor)
                gradients.append(tensor.grad)
        together = torch.cat([*(gradient.flatten() for gradient in gradients), loss[None]])
        self._sum(together)
        *sums, total = torch.split(together, [*(gradient.numel() for gradient in gradients), 1])
        for gradient, part in zip(gradients, sums, strict=True):
            gradient.copy_(part.view_as(gradient))
        return total[0]

    @abstractmethod
    def _sum(self, values: torch.Tensor) -> None:
        """Over all processes, in place."""
