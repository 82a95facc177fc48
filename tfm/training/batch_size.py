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
from tfm.core.runs.run import Run
from tfm.models.freezing import set_train_mode
from tfm.models.memory import MemoryMeter, MemoryUse
from tfm.training.device_errors import repeatable_told
from tfm.training.inputs.lineage import Origin
from tfm.training.loop import batch_of, drawn_for
from tfm.training.optimizer import optimizer
from tfm.training.precision import computing_in
from tfm.training.state import Training
from tfm.training.tasks import Task

SMALLEST, LARGEST = 2, 64
_CPU_SHARE = 1 / 4  # of the machine's memory: others are at work on it too


def settle(run: Run, training: Training, before: Origin | None = None) -> Iterator[Event]:
    """What was tried out before the first step holds for the whole run, and for those that go on from it."""
    if training.batches.batch_size == "auto":
        began = run.read_environment() | (before.run.read_environment() if before else {})
        training.batch_size = began.get("batch_size") or fitting(training)
        yield Note(f"batches of {training.batch_size} images")
    run.save_facts(batch_size=training.batch_size)


def fitting(training: Training) -> int:
    """A power of two. On a GPU what it takes; on a CPU what a quarter of the machine's memory holds, which is no
    matter of speed there."""
    network, task = copy.deepcopy((training.network, training.task))  # in one: a task may know its network
    set_train_mode(network)
    try_out = functools.partial(_step, training, network, task, optimizer(network, training.optim))
    largest = max(SMALLEST, min(LARGEST, 1 << (len(training.train.rows).bit_length() - 1)))
    if training.train.device.type == "cuda":
        return largest_that_fits(try_out, largest)
    meter = MemoryMeter(network)
    with meter.watch():
        try_out(SMALLEST)
    return largest_within(_CPU_SHARE * (machine.read_memory_gib() or 0) * 2**30, meter.measure(), largest)


def largest_that_fits(try_out: Callable[[int], None], largest: int) -> int:
    """Tried with a quarter more images than it is for, one at least: memory in pieces holds less than in one."""
    found, size = 0, SMALLEST
    while size <= largest:
        try:
            try_out(size + max(size // 4, 1))
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


def largest_within(room: float, smallest: MemoryUse, largest: int) -> int:
    """`room` bytes; `smallest` is measured with as few images as may be."""
    size = SMALLEST
    while 2 * size <= largest and smallest.network + 2 * size * smallest.images / SMALLEST <= room:
        size *= 2
    return size


def _step(training: Training, network: nn.Module, task: Task, stepping: torch.optim.Optimizer, count: int) -> None:
    """All that a step of the training does to so many images, and what its optimizer keeps from then on."""
    places = np.arange(count)  # those behind the last image are the first ones again, changed in another way
    batch = batch_of(training, places, drawn_for(training, 0, count))
    with repeatable_told(training.train.device):
        task.advance(network)
        with computing_in(training.precision, training.train.device):
            loss, _ = task.loss(network, batch)
        if loss.requires_grad:  # nothing of a network is trained where only its features are used
            loss.backward()  # type: ignore[no-untyped-call]
        stepping.step()
    network.zero_grad()
