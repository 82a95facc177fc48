"""The pace of training on this machine, and what deterministic arithmetic costs: real steps, with and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from tfm.training.device import configure_torch
from tfm.training.loop import draw_changes, train_step
from tfm.training.recipe import TrainingRecipe
from tfm.training.state import Training

_STEPS = {"cpu": 1, "cuda": 10}  # in one turn
_LEAST_PAIRS, _MOST_PAIRS = 4, 12
_SECONDS = 6.0


@dataclass(frozen=True)
class StepPace:
    images_per_second: float  # of deterministic steps
    ratios: list[float]  # for each pair of turns: the time of the deterministic one over that of the other


def measure_step_pace(recipe: TrainingRecipe, device: torch.device, threads: int) -> StepPace:
    """Both turns of a pair follow each other, so that a machine that gets busier changes both."""
    training, before = recipe.build(device), torch.get_num_threads()
    steps = _STEPS[device.type]
    try:
        for deterministic in (False, True):  # the first steps also prepare
            _take_turn(training, steps, threads, deterministic=deterministic)
        began = time.perf_counter()
        seconds: list[float] = []
        ratios: list[float] = []
        while len(ratios) < _LEAST_PAIRS or (time.perf_counter() - began < _SECONDS and len(ratios) < _MOST_PAIRS):
            order = (False, True) if len(ratios) % 2 else (True, False)  # neither is always the first one
            turns = {exact: _take_turn(training, steps, threads, deterministic=exact) for exact in order}
            seconds.append(turns[True][1])
            ratios.append(turns[True][0] / turns[False][0])
    finally:
        configure_torch(before, deterministic=False)
    return StepPace(steps * training.batch_size / statistics.median(seconds), ratios)


def _take_turn(training: Training, steps: int, threads: int, *, deterministic: bool) -> tuple[float, float]:
    """Take some steps. Return their time without that of other programs, where it can be told apart, and all of it."""
    configure_torch(threads, deterministic)
    places = np.arange(training.batch_size)
    read_own: Callable[[], float] = time.thread_time if training.device.type == "cpu" else time.perf_counter
    own, whole = read_own(), time.perf_counter()
    for _ in range(steps):  # each waits for the device
        train_step(training, places, draw_changes(training, training.state.epoch, len(places)), steps)
    training.train_outputs.clear()
    return read_own() - own, time.perf_counter() - whole
