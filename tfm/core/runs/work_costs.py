"""The arithmetic of an estimate: from what an image costs to the time, memory and disk space of a run.

Early stopping is not foreseen: every epoch counts. Nothing is read or measured here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfm.core import machine
from tfm.core.runs.works import ImageCounts, Work

TRAININGS = ("train", "segment", "pretrain")  # the commands that train a network of their own

_REGRESSION_SECONDS = 1e-3  # for each training image: seven penalties, as measured on 745 images with 2560 features
_PRETRAINED_SHARE = 0.95  # of the training images: the others choose the best epoch
_CHECKPOINTS_AN_EPOCH = 1.5  # the last one, and often the best one
_FEATURES_MB = 0.01  # of an image in a regression's files
_LARGEST_AUTO_BATCH, _AUTO_SHARE = 64, 1 / 4  # as `batch_size: auto` chooses on a CPU
_SMALL_STEP_MB = 5.0  # a run without checkpoints
_OCCLUSION_PASSES = 150  # for each image that is explained by covering parts of it
_GPU_LIBRARIES_GIB = 0.6


@dataclass(frozen=True)
class Cost:
    """Of a network at one image size."""

    parameters: int
    trained: int
    forward: tuple[float, ...]  # for an image, 10⁹ of each kind of operation, as `models.operations` counts them
    backward: tuple[float, ...]
    memory: tuple[float, float]  # bytes of the network in training, and of each image of a batch

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Cost:
        return cls(**_restore_tuples(values))


@dataclass(frozen=True)
class Speed:
    """Of a device. `forward` and `backward` are the seconds for 10⁹ of each kind of operation."""

    forward: tuple[float, ...]
    backward: tuple[float, ...]
    augmentation: float  # seconds for 10⁶ pixels
    saved_mb: float  # seconds to save a checkpoint, for each MB
    start: float  # seconds until a run's process has loaded its libraries
    memory_gib: float  # of a process that has done so

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Speed:
        return cls(**_restore_tuples(values))


def _restore_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


@dataclass(frozen=True)
class Pace:
    """Seconds for an image that is trained on, and for one that is only classified."""

    trained: float
    evaluated: float


def compute_pace(work: Work, cost: Cost, speed: Speed, size: tuple[int, int], *, on_gpu: bool) -> Pace:
    """Scale the speed that was measured with other networks by the operations of this one. Several GPUs share an epoch
    evenly; several processes on one CPU share its cores too."""
    forward, backward = (
        sum(amount * seconds for amount, seconds in zip(amounts, rates, strict=True))
        for amounts, rates in ((cost.forward, speed.forward), (cost.backward, speed.backward))
    )
    changed = math.prod(size) / 1e6 * speed.augmentation * bool(work.get("augment", True))
    views = 2 if work.get("two_views") else 1
    processes = work.get("devices", 1) * work.get("nodes", 1) if on_gpu else 1
    return Pace(views * (forward + backward + changed) / processes, views * forward)


def compute_seconds(
    work: Work, cost: Cost, pace: Pace, speed: Speed, counts: ImageCounts, size: tuple[int, int]
) -> float:
    """The time of one run of a training command."""
    evaluated = pace.evaluated * _count_tiles(work, size)
    at_end = (counts.val + counts.test) * evaluated * (2 if work.get("tta") else 1)
    guided = work.get("lesion_guidance", "none") != "none" and not work.get("tile")
    # The regressions of a lesion-guided model see the training images twice: once for the folds that join their scores.
    features = (counts.train * (2 if guided else 1) + counts.val) * evaluated
    if work.get("trained") == "none":
        return speed.start + features + counts.train * _REGRESSION_SECONDS + at_end
    trained, checked, first = count_trained(work, counts), float(counts.val), 0.0
    if work.command == "pretrain":
        trained, checked, at_end = counts.train * _PRETRAINED_SHARE, counts.train * (1 - _PRETRAINED_SHARE), 0.0
    elif guided and work.get("fit_heads"):
        first = features
    saved = compute_state_mb(work, cost) * _CHECKPOINTS_AN_EPOCH * speed.saved_mb
    epochs: int = work.values["epochs"]
    return speed.start + first + epochs * (trained * pace.trained + checked * evaluated + saved) + at_end


def compute_study_seconds(trial: float, start: float, trials: int) -> float:
    """The time of a study whose every trial runs to its last epoch: some are pruned before."""
    return start + trials * (trial - start)


def compute_derived_seconds(work: Work, pace: Pace, start: float, counts: ImageCounts) -> float:
    """The time of a run that reads a trained model, such as a forest or an explanation."""
    if work.command == "forest":
        return start + sum(counts) * (pace.evaluated + _REGRESSION_SECONDS)
    if work.command == "explain":
        images = counts.val if work.get("split") == "val" else counts.test
        covered: int = work.get("occluded_images", 0) * _OCCLUSION_PASSES
        return start + images * (pace.trained + pace.evaluated) + covered * pace.evaluated
    return start


def compute_memory_gib(work: Work, cost: Cost, speed: Speed | None, *, on_gpu: bool) -> float:
    """Of the GPU, or of the machine if it trains on its CPU."""
    fixed, each = cost.memory
    views = 2 if work.get("two_views") else 1
    libraries = _GPU_LIBRARIES_GIB if on_gpu else (speed.memory_gib if speed else 0.5)
    return (fixed + views * each * _get_batch_size(work, cost)) / 2**30 + libraries


def _get_batch_size(work: Work, cost: Cost) -> int:
    size = work.get("batch_size", 1)
    if size != "auto":
        return int(size)
    room, size = _AUTO_SHARE * (machine.read_memory_gib() or 0) * 2**30, 2
    while 2 * size <= _LARGEST_AUTO_BATCH and cost.memory[0] + 2 * size * cost.memory[1] <= room:
        size *= 2
    return size


def compute_state_mb(work: Work, cost: Cost) -> float:
    """The size of a checkpoint to resume from: weights, the optimizer's two moments, and the moving average."""
    tensors = cost.parameters * (2 if work.get("ema") else 1) + 2 * cost.trained
    return 4 * tensors / 1e6


def compute_disk_mb(work: Work, cost: Cost | None, counts: ImageCounts) -> float:
    if cost is None or work.command not in TRAININGS:
        return _SMALL_STEP_MB
    best = 4 * cost.parameters / 1e6
    if work.get("trained") == "none":
        return best + sum(counts) * _FEATURES_MB
    return best + 2 * compute_state_mb(work, cost)  # the last two


def count_trained(work: Work, counts: ImageCounts) -> float:
    """The images of an epoch: those without a label are left out, unless they are used otherwise."""
    is_used = work.get("unlabelled", "ignore") != "ignore"
    return counts.train * (1.0 if is_used else float(work.get("label_percent", 100)) / 100)


def _count_tiles(work: Work, size: tuple[int, int]) -> int:
    """How many tiles cover an image that is classified."""
    tile, overlap = work.get("tile"), work.get("window_overlap", 0.25)
    if not tile:
        return 1
    return math.prod(max(1, math.ceil((side - tile) / (tile * (1 - overlap))) + 1) for side in size)
