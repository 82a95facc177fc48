"""What a network says of a split's images, in the order of the rows. Nothing here trains or augments."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from torch import nn

from tfm.core.events import Event, Progress
from tfm.training.batches import Batch, Images, cut, mirrored
from tfm.training.device_errors import limits_told
from tfm.training.precision import computing_in
from tfm.training.tasks import Task

Ask = Callable[[np.ndarray], torch.Tensor]


def answers(ask: Ask, images: Images, batch_size: int, name: str) -> Generator[Event, None, torch.Tensor]:
    """(n, k) on the CPU: what was answered when asked for one batch of rows after another."""
    batches = cut(np.arange(len(images.rows)), batch_size)
    given = []
    for done, chosen in enumerate(batches, start=1):
        # Closed before each yield: what stands between two events is somebody else's.
        with torch.inference_mode(), limits_told(images.device, batch_size):
            given.append(ask(chosen).float().cpu())
        yield Progress(name, done, len(batches), "batches")
    return torch.cat(given)


def logits(
    task: Task,
    network: nn.Module,
    images: Images,
    batch_size: int,
    name: str,
    *,
    precision: str = "fp32",
    tta: bool = False,
) -> Generator[Event, None, torch.Tensor]:
    """(n, k): a task's answers that begin with a logit. With `tta` the mean of what is said of an image and of its
    mirror image."""
    network.eval()

    def ask(chosen: np.ndarray) -> torch.Tensor:
        batch = Batch(images.batch(chosen), images.truth(chosen, task.needs))
        with computing_in(precision, images.device):
            said = task.answers(network, batch)
            return (said.float() + task.answers(network, mirrored(batch)).float()) / 2 if tta else said

    return (yield from answers(ask, images, batch_size, name))


def probabilities(answers: torch.Tensor) -> np.ndarray:  # (n, k), the logit first → (n,) float64
    return torch.sigmoid(answers.double())[:, 0].numpy()
