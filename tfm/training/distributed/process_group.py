"""The processes that train one network, as the loop sees them. A single process is the usual case.

How the first process starts the others lives in main_process, what those do in other_process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn


class SingleProcess:
    rank, count = 0, 1

    def begin(self, state: dict[str, Any]) -> None:
        """Load the training's state in the other processes."""

    def announce_step(self, epoch: int, epoch_step: int, step: int) -> None:
        """Let the other processes take this step too. Each knows which images it has."""

    def share(self, batches: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
        """This process's batches of a step, each with its number among all: it seeds dropout, whoever computes it."""
        return list(enumerate(batches))[self.rank :: self.count]

    def add_up(self, network: nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Sum the loss over all processes, and the gradients in place."""
        return loss

    def collect(self, outputs: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        """The outputs of all batches, by number, on the CPU. Only the first process gets those of the others."""
        return [output.float().cpu() for _, output in sorted(outputs.items())]


class ProcessGroup(SingleProcess, ABC):
    """One of several processes. All compute the same sums to the last bit, and so take the same step."""

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
        self.sum_in_place(together)
        *sums, total = torch.split(together, [*(gradient.numel() for gradient in gradients), 1])
        for gradient, part in zip(gradients, sums, strict=True):
            gradient.copy_(part.view_as(gradient))
        return total[0]

    @abstractmethod
    def sum_in_place(self, values: torch.Tensor) -> None:
        """Sum over all processes."""
