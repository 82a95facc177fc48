"""`batch_size: auto`: how many images a device takes at once, tried out on a copy before the first step."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from tfm.core import machine
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Note
from tfm.core.run import Run
from tfm.models.freezing import train_mode
from tfm.train.batches import Batch, chances
from tfm.train.origin import Origin
from tfm.train.precision import computing_in
from tfm.train.training import Training

SMALLEST, LARGEST = 2, 64
_CPU_SHARE = 1 / 4  # of the machine's memory: others are at work on it too
_BESIDES = 2  # times what the backward pass reads: gradients on their way, and what the layers need for themselves


def settle(run: Run, training: Training, before: Origin | None = None) -> Iterator[Event]:
    """What was tried out before the first step holds for the whole run, and for those that go on from it."""
    if training.batches.batch_size == "auto":
        began = run.environment | (before.run.environment if before else {})
        training.batch_size = began.get("batch_size") or fitting(training)
        yield Note(f"batches of {training.batch_size} images")
    run.remember(batch_size=training.batch_size)


def fitting(training: Training) -> int:
    """A power of two. On a GPU what it takes; on a CPU what a quarter of the machine's memory holds, which is no
    matter of speed there."""
    network = copy.deepcopy(training.network)
    train_mode(network)
    try_out = functools.partial(_pass, training, network)
    largest = max(SMALLEST, min(LARGEST, 1 << (len(training.train.rows).bit_length() - 1)))
    if training.train.device.type == "cuda":
        return largest_that_fits(try_out, largest)
    return largest_within(_CPU_SHARE * (machine.memory_gib() or 0), _gib_an_image(network, try_out), largest)


def largest_that_fits(try_out: Callable[[int], None], largest: int) -> int:
    """Tried with a quarter more images than it is for: the optimizer's memory is not there yet."""
    found, size = 0, SMALLEST
    while size <= largest:
        try:
            try_out(size + size // 4)
        except torch.OutOfMemoryError:
            break
        found, size = size, 2 * size
    torch.cuda.empty_cache()
    if not found:
        raise TrainingError(
            f"the GPU's memory is too small even for {SMALLEST} images at once",
            hint="choose a cache of smaller images, or a smaller network",
        )
    return found


def largest_within(gib: float, gib_an_image: float, largest: int) -> int:
    size = SMALLEST
    while 2 * size <= largest and 2 * size * gib_an_image <= gib:
        size *= 2
    return size


def _pass(training: Training, network: nn.Module, count: int) -> None:
    """Forward and backward, of so many images."""
    images = training.train
    chosen = np.resize(np.arange(len(images.rows)), count)
    drawn = chances(count, training.task.chances, "batch size")
    batch = Batch(images.batch(chosen), images.truth(chosen, training.task.needs), drawn)
    with computing_in(training.precision, images.device):
        loss, _ = training.task.loss(network, batch)
    if loss.requires_grad:  # nothing of a network is trained where only its features are used
        loss.backward()  # type: ignore[no-untyped-call]
    network.zero_grad()


def _gib_an_image(network: nn.Module, try_out: Callable[[int], None]) -> float:
    """What the forward pass keeps for the backward one, measured and doubled."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        try_out(SMALLEST)
    return _BESIDES * sum(kept.values()) / SMALLEST / 2**30
