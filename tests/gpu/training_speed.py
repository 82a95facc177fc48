"""Speed and memory of training steps: beside bare compute, compiled, and with the spectral terms."""

from __future__ import annotations

import functools
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.gpu.checks import Check, ImageSize, Outcome, Scale
from tests.training.bare_training import (
    build_bare_training,
    draw_half_breasts,
    make_cache,
    repeat_bare_step,
    select_samples,
    take_step,
)
from tfm.core.errors import TrainingError
from tfm.core.events import Event
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import configure_torch
from tfm.training.gpu_cache import keep_arrays_on_gpu
from tfm.training.loop import run_training

NAMES = {
    "ResNet18": "resnet18",
    "EfficientNetB3": "efficientnet_b3",
    "Swin-T": "swin_tiny_patch4_window7_224",
    "DeepLabV3+": "DeepLabV3+",
}
SPECTRAL_TERMS = {
    "beta": ({"beta": 1e-3}, 1.03),
    "attention_gamma": ({"attention_gamma": 1e-3}, 1.15),
}
IMAGES = 64  # different ones in a cache: epochs are made of these, taken again
AGREEMENT = 0.1  # largest relative difference of two gradients in bf16, which has 8 bits


class Stepper:
    """A training in the middle of its only epoch, one step at a time. Its images are taken again and again."""

    def __init__(
        self, scale: Scale, folder: Path, images: np.ndarray, steps: int, architecture: str, given: dict[str, Any]
    ) -> None:
        folder = Path(tempfile.mkdtemp(dir=folder))
        cache = make_cache(folder, images)
        samples = select_samples(cache, (steps + 1) * given["batch_size"])  # so that the epoch does not end
        self.training = build_bare_training(architecture, cache, samples, {"precision": "bf16"} | given, scale.device)
        for _ in keep_arrays_on_gpu(self.training):
            pass
        checkpoints = Checkpoints(folder, seconds=1e9, key="a key")
        self._events: Iterator[Event] = run_training(self.training, checkpoints, folder / "metrics.csv")

    def take_step(self) -> None:
        take_step(self._events)


def build_stepper(scale: Scale, folder: Path, size: ImageSize, architecture: str, **given: Any) -> Stepper:
    steps = 2 + size.warm + size.timed
    images = draw_half_breasts(min(IMAGES, steps * given["batch_size"]), size.shape)
    return Stepper(scale, folder, images, steps, architecture, given)


def list_speed_checks(scale: Scale, *, deterministic: bool) -> list[Check]:
    mode = "deterministic" if deterministic else "fast"
    return [
        Check(
            f"training {name}, {size}, bf16, {mode}",
            functools.partial(compare_to_bare, scale, size, name, deterministic=deterministic),
        )
        for size in scale.sizes
        for name in NAMES
    ]


def list_compile_checks(scale: Scale) -> list[Check]:
    return [
        Check(
            f"compile {scale.pick('ResNet18', 'test_resnet')}, {scale.middle_size}, bf16",
            functools.partial(compare_compiled, scale),
        )
    ]


def list_spectral_checks(scale: Scale) -> list[Check]:
    return [
        Check(f"{term} of Swin-T, {scale.sizes[0]}, bf16", functools.partial(measure_term, scale, *values))
        for term, values in SPECTRAL_TERMS.items()
    ]


# --- measurements -----------------------------------------------------------------------------------------------------


def compare_to_bare(scale: Scale, size: ImageSize, name: str, *, deterministic: bool) -> Outcome:
    configure_torch(torch.get_num_threads(), deterministic)

    def measure(batch: int, folder: Path) -> Outcome:
        stepper = build_stepper(scale, folder, size, NAMES[name], batch_size=batch)
        stepper.take_step()
        memory = measure_peak_memory(stepper)
        # Both train the same network, so that memory holds only one.
        ours, bare = time_in_turn(scale, size, stepper.take_step, repeat_bare_step(stepper.training))
        speed = f"batch {batch}: {batch / ours:.0f} images/s{memory}"
        return scale.judge(f"{speed}; {bare / ours:.3f} of bare compute", bare / ours, least=0.95)

    return find_fitting_batch(measure, size)


def compare_compiled(scale: Scale) -> Outcome:
    """Compare the gradients of the first step, whose weights and images are the same, and the speed of later ones."""
    configure_torch(torch.get_num_threads(), deterministic=False)
    size = scale.middle_size

    def measure(batch: int, folder: Path) -> Outcome:
        architecture, steppers, gradients = scale.pick("resnet18", "test_resnet"), [], []
        for is_compiled in (False, True):
            steppers.append(build_stepper(scale, folder, size, architecture, batch_size=batch, compile=is_compiled))
            steppers[-1].take_step()
            gradients.append(collect_gradient(steppers[-1].training.network))
        plain, compiled = time_in_turn(scale, size, *(stepper.take_step for stepper in steppers))
        difference = float((gradients[1] - gradients[0]).norm() / gradients[0].norm())
        return Outcome(
            f"batch {batch}: {batch / plain:.0f} images/s without, {batch / compiled:.0f} with, "
            f"{plain / compiled:.2f} times as fast; first gradients differ by {difference:.1e} of their norm",
            f"difference ≤ {AGREEMENT}",
            difference <= AGREEMENT,
        )

    return find_fitting_batch(measure, size)


def collect_gradient(network: nn.Module) -> torch.Tensor:  # (number of weights,)
    return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])


def measure_term(scale: Scale, given: dict[str, Any], most: float) -> Outcome:
    """Compare steps with a spectral term and without."""
    configure_torch(torch.get_num_threads(), deterministic=False)
    size = scale.sizes[0]

    def measure(batch: int, folder: Path) -> Outcome:
        steppers = [
            build_stepper(scale, folder, size, NAMES["Swin-T"], batch_size=batch, **terms) for terms in ({}, given)
        ]
        without, with_term = time_in_turn(scale, size, *(stepper.take_step for stepper in steppers))
        return scale.judge(
            f"batch {batch}: {with_term / without:.3f} of a step without; {1 - without / with_term:.1%} of the step",
            with_term / without,
            most=most,
        )

    return find_fitting_batch(measure, size)


# --- tools ------------------------------------------------------------------------------------------------------------


def find_fitting_batch(measure: Callable[[int, Path], Outcome], size: ImageSize) -> Outcome:
    """Measure with the largest batch that fits: halve it while memory is too small."""
    batch = size.batch
    while True:
        try:
            with tempfile.TemporaryDirectory() as folder:
                return measure(batch, Path(folder))
        except (TrainingError, torch.OutOfMemoryError) as error:
            if batch == 2 or not is_out_of_memory(error):
                raise
        finally:
            free_memory()
        batch //= 2


def is_out_of_memory(error: Exception) -> bool:
    return isinstance(error.__cause__ or error, torch.OutOfMemoryError)


def free_memory() -> None:
    gc.collect()
    torch.cuda.empty_cache()


def measure_peak_memory(stepper: Stepper) -> str:
    """The peak of one step in words; nothing on a CPU."""
    device = stepper.training.device
    if device.type == "cpu":
        return ""
    torch.cuda.reset_peak_memory_stats(device)
    stepper.take_step()
    return f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"


def time_in_turn(scale: Scale, size: ImageSize, *steps: Callable[[], None]) -> list[float]:
    """Median seconds of each step. They alternate, so that whatever else the machine does falls on all of them."""
    rounds = [[time_step(step, scale) for step in steps] for _ in range(size.warm + size.timed)]
    return [statistics.median(times) for times in zip(*rounds[size.warm :], strict=True)]


def time_step(step: Callable[[], None], scale: Scale) -> float:
    wait_for_gpu(scale)
    started = time.perf_counter()
    step()
    wait_for_gpu(scale)
    return time.perf_counter() - started


def wait_for_gpu(scale: Scale) -> None:
    if scale.is_gpu:
        torch.cuda.synchronize(scale.device)
