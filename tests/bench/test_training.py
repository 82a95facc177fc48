"""How much of bare compute is left when training: ours reads, augments, tells and watches over; bare computes only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.bench.rows import report
from tests.training.bare_training import (
    build_bare_training,
    draw_half_breasts,
    make_cache,
    repeat_bare_step,
    select_samples,
    take_step,
)
from tests.training.small_training import CPU
from tfm.data.cache.cache import Cache
from tfm.training.checkpoint import Checkpoints
from tfm.training.loop import run_training
from tfm.training.state import Training

pytestmark = pytest.mark.alone

SIDE, BATCH, STEPS, WARM = 128, 8, 12, 3
IMAGES = (STEPS + WARM) * BATCH
LITE = "tf_efficientnet_lite0"  # with the memory format of its presets


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return make_cache(tmp_path_factory.mktemp("cache"), draw_half_breasts(IMAGES, (SIDE, SIDE)))


def training(architecture: str, cache: Cache) -> Training:
    given = {"batch_size": BATCH, "dropout": 0.2, "channels_last": architecture == LITE}
    return build_bare_training(architecture, cache, select_samples(cache, IMAGES), given, CPU)


def seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["MammoCNN", "resnet18", "densenet121", "efficientnet_b3", LITE, "DeepLabV3+"])
def test_training_is_at_least_095_of_bare_compute(architecture: str, cache: Cache, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        events = run_training(
            training(architecture, cache), Checkpoints(tmp_path, seconds=1e9, key="a key"), tmp_path / "metrics.csv"
        )
        bare = repeat_bare_step(training(architecture, cache))
        took = [(seconds(lambda: take_step(events)), seconds(bare)) for _ in range(STEPS + WARM)][WARM:]
    finally:
        torch.set_num_threads(before)
    ours, theirs = (statistics.median(times) for times in zip(*took, strict=True))
    report(f"step of {architecture}, against bare compute", ours, floor=theirs, at_least=0.95)
