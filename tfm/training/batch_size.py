"""`batch_size: auto`: find the largest batch that fits the device, on a trial training before the first step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from tfm.core import machine
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Note
from tfm.core.runs.run import Run
from tfm.models.freezing import set_train_mode
from tfm.models.memory import MemoryMeter, MemoryUse
from tfm.training.device_errors import explain_nondeterminism
from tfm.training.inputs.starting_point import SourceRun
from tfm.training.loop import draw_changes, make_training_batch
from tfm.training.precision import autocast
from tfm.training.state import Training

SMALLEST, LARGEST = 2, 64
_CPU_SHARE = 1 / 4  # of the machine's memory: other programs need some too


def settle_batch_size(run: Run, training: Training, extended: SourceRun | None = None) -> Iterator[Event]:
    """Resolve `auto`, once for the whole run and for the runs that extend it."""
    if training.recipe.batches.batch_size == "auto":
        began = run.read_environment() | (extended.run.read_environment() if extended else {})
        training.batch_size = began.get("batch_size") or find_batch_size(training)
        yield Note(f"batch size {training.batch_size}")
    run.save_facts(batch_size=training.batch_size)


def find_batch_size(training: Training) -> int:
    """Find a power of two: on a GPU what fits its memory, on a CPU what fits a quarter of the machine's memory."""
    trial = training.recipe.as_replica(SMALLEST).build(training.device)
    trial.train = training.train  # its arrays may already be on the GPU
    set_train_mode(trial.network)
    try_size = functools.partial(run_trial_step, trial)
    largest = max(SMALLEST, min(LARGEST, 1 << (len(training.train.samples).bit_length() - 1)))
    if training.device.type == "cuda":
        return find_largest_on_gpu(try_size, largest)
    meter = MemoryMeter(trial.network)
    with meter.watch():
        try_size(SMALLEST)
    return find_largest_on_cpu(_CPU_SHARE * (machine.read_memory_gib() or 0) * 2**30, meter.measure(), largest)


def find_largest_on_gpu(try_size: Callable[[int], None], largest: int) -> int:
    """Try each size with a quarter more images, at least one: fragmented memory holds less."""
    largest_fitting, size = 0, SMALLEST
    while size <= largest:
        try:
            try_size(size + max(size // 4, 1))
        except torch.OutOfMemoryError:
            break
        largest_fitting, size = size, 2 * size
    torch.cuda.empty_cache()
    if not largest_fitting:
        raise TrainingError(
            f"the GPU's memory is too small for a batch of {SMALLEST} images",
            hint="choose a cache of smaller images, or a smaller network",
        )
    return largest_fitting


def find_largest_on_cpu(room: float, smallest: MemoryUse, largest: int) -> int:
    """`room` is in bytes; `smallest` was measured with SMALLEST images."""
    size = SMALLEST
    while 2 * size <= largest and smallest.network + 2 * size * smallest.images / SMALLEST <= room:
        size *= 2
    return size


def run_trial_step(trial: Training, count: int) -> None:
    """Do all that a training step does with so many images. The optimizer keeps its state afterwards."""
    places = np.arange(count)  # places after the last image are the first images again, changed in another way
    batch = make_training_batch(trial, places, draw_changes(trial, 0, count))
    with explain_nondeterminism(trial.device):
        trial.task.start_step(trial.network)
        with autocast(trial.precision, trial.device):
            loss, _ = trial.task.compute_loss(trial.network, batch)
        if loss.requires_grad:  # not where only frozen features are used
            loss.backward()  # type: ignore[no-untyped-call]
        trial.optimizer.step()
    trial.network.zero_grad()
