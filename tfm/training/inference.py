"""The outputs of a network for a split's images, in the order of its samples. Nothing is trained or augmented here."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from torch import nn

from tfm.core.events import Event, Progress
from tfm.training.batches import Batch, Images, mirror_batch, split_evenly
from tfm.training.device_errors import explain_device_errors
from tfm.training.precision import autocast
from tfm.training.tasks import Task


def run_in_batches(
    predict: Callable[[np.ndarray], torch.Tensor], images: Images, batch_size: int, name: str
) -> Generator[Event, None, torch.Tensor]:
    """Call `predict` with the indices of one batch after another; return (n, k) outputs on the CPU."""
    batches = split_evenly(np.arange(len(images.samples)), batch_size)
    outputs = []
    for done, chosen in enumerate(batches, start=1):
        # The contexts are left before each yield: the caller must not run in inference mode.
        with torch.inference_mode(), explain_device_errors(images.device, batch_size):
            outputs.append(predict(chosen).float().cpu())
        yield Progress(name, done, len(batches), "batches")
    return torch.cat(outputs)


def predict_logits(
    task: Task,
    network: nn.Module,
    images: Images,
    batch_size: int,
    name: str,
    *,
    precision: str = "fp32",
    tta: bool = False,
) -> Generator[Event, None, torch.Tensor]:
    """(n, k) outputs of a task whose first output is a logit. `tta` averages over each image and its mirror image."""
    network.eval()

    def predict(chosen: np.ndarray) -> torch.Tensor:
        batch = Batch(images.load(chosen), images.load_targets(chosen, task.needs))
        with autocast(precision, images.device):
            outputs = task.predict(network, batch)
            return (outputs.float() + task.predict(network, mirror_batch(batch)).float()) / 2 if tta else outputs

    return (yield from run_in_batches(predict, images, batch_size, name))


def compute_probabilities(outputs: torch.Tensor) -> np.ndarray:  # (n, k), the logit first → (n,) float64
    return torch.sigmoid(outputs.double())[:, 0].numpy()
