"""What the loop asks of a task. What a network learns from stands in the tasks themselves, and how in the loop."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import nn

from tfm.train.batches import Batch


class Task(Protocol):
    @property
    def needs(self) -> frozenset[str]:
        """What it looks at beside the images: "labels", "breast" and "lesions"."""

    @property
    def columns(self) -> list[str]:
        """What `figures` gives, in the order of metrics.csv."""

    @property
    def best(self) -> str:
        """The column that is to be as high as possible."""

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Over the batch's images, their sum: the loop divides by the number of images of a whole step."""

    def answers(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, k): what `figures` has to know of each image, and no more, for it is kept for a whole split."""

    def figures(self, answers: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        """Of a whole split: answers (n, k) float32 on the CPU, labels (n,)."""
