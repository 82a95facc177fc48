"""How long a batch of 32 images of 512 × 512 takes to be read from a cache."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.bench.rows import report
from tfm.data.cache.cache import Cache

pytestmark = pytest.mark.alone

COUNT, SIDE, BATCH = 256, 512, 32


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (COUNT, SIDE, SIDE))
    images[:] = np.random.default_rng(1).integers(0, 256, images.shape, dtype=np.uint8)
    images.flush()
    reopened = np.load(tmp_path / "images.npy", mmap_mode="r")
    none = np.empty((COUNT, 0, 0), np.uint8)  # masks: not read here
    return Cache(tmp_path, pd.DataFrame(), reopened, none, none)


def milliseconds(work: Callable[[np.ndarray], object]) -> float:
    """Of a random batch: the median of ten, after as many to warm up; the best of three, for others are at work too."""
    generator = np.random.default_rng(2)

    def median() -> float:
        took = []
        for _ in range(10):
            chosen = generator.permutation(COUNT)[:BATCH]
            begun = time.perf_counter()
            work(chosen)
            took.append(time.perf_counter() - begun)
        return 1000 * statistics.median(took)

    median()
    return min(median() for _ in range(3))


def test_a_random_batch_is_read_in_five_milliseconds(cache: Cache) -> None:
    together = np.array(cache.images[:BATCH])
    copying = milliseconds(lambda _: together.copy())
    reading = milliseconds(lambda chosen: torch.from_numpy(cache.images[chosen]))
    report("random batch of 32 images of 512²", reading, unit="ms", at_most=5)
    report("random batch, against copying one", reading, unit="ms", floor=copying)
