"""What a network says of a split's images: logits in the order of the rows. Nothing here trains or augments."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from torch import nn

from tfm.core.events import Event, Progress
from tfm.train.batches import Images, in_turn


def logits(network: nn.Module, images: Images, batch_size: int, name: str) -> Generator[Event, None, torch.Tensor]:
    """(n, 1) on the CPU."""
    network.eval()
    batches = in_turn(len(images.rows), batch_size)
    answers = []
    for done, chosen in enumerate(batches, start=1):
        with torch.inference_mode():  # closed before each yield: what stands between two events is somebody else's
            answers.append(network(images.batch(chosen)).float().cpu())
        yield Progress(name, done, len(batches), "batches")
    return torch.cat(answers)


def probabilities(answers: torch.Tensor) -> np.ndarray:  # (n, 1) → (n,) float64
    return torch.sigmoid(answers.double())[:, 0].numpy()
