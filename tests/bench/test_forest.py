"""The time to train a forest on the embeddings of a dataset, and to extract them compared with a bare forward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.bench.rows import measure_until, report
from tests.returned import returned
from tfm.core.events import Progress
from tfm.data.cache.cache import Cache
from tfm.models.build import build_model
from tfm.models.head import find_head
from tfm.models.normalisation import Normalisation
from tfm.models.settings import ModelSettings
from tfm.training.batches import Images
from tfm.training.embedding_classifier import fit_learner
from tfm.training.frozen_features import extract_features
from tfm.training.inputs.samples import Samples
from tfm.training.settings import LearnerSettings

pytestmark = pytest.mark.alone

IMAGES, WIDTH, CORES = 3000, 2048, 2
SIDE, BATCH, BATCHES, WARM = 224, 8, 10, 2


def measure_seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.long
@pytest.mark.parametrize("signal", [0.0, 0.3], ids=["no signal", "weak signal"])
def test_forest_on_3000_embeddings_takes_at_most_10_seconds_on_two_cores(signal: float) -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, IMAGES)
    embeddings = np.abs(generator.normal(size=(IMAGES, WIDTH))).astype(np.float32)
    embeddings[:, ::4] += (signal * labels[:, None] * generator.random(WIDTH // 4)).astype(np.float32)
    spent = []  # CPU seconds, so that other processes have no effect

    def fit_on(cores: int) -> float:
        before = time.process_time()
        seconds = measure_seconds(lambda: returned(fit_learner(LearnerSettings(), embeddings, labels, 7, cores)))
        spent.append(time.process_time() - before)
        return seconds

    both, one = measure_until(1, lambda: (fit_on(CORES), fit_on(1)))
    report("forest of 3000 × 2048 features, CPU", spent[0], at_most=10 * CORES)
    report("forest on two cores, against one", both, floor=one, at_most=1)


@pytest.mark.long
def test_extraction_is_at_least_95_percent_as_fast_as_the_forward_pass(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = build_model(ModelSettings(architecture="resnet50", head=128, trained="head"), (SIDE, SIDE)).eval()
        count = (BATCHES + WARM) * BATCH
        pixels = np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
        cache = Cache(Path(), pd.DataFrame(), pixels, np.ones_like(pixels), np.zeros_like(pixels))
        rows = Samples(pd.DataFrame({"label": np.arange(count) % 2}), np.arange(count))
        images = Images(cache, rows, Normalisation(0.5, 0.3), torch.device("cpu"))
        events = extract_features(network, find_head(network), images, BATCH, tmp_path / "train.npy", name="embeddings")
        batch = torch.rand(BATCH, 1, SIDE, SIDE)

        def extract() -> None:
            assert isinstance(next(events), Progress)

        def forward() -> None:
            with torch.inference_mode():
                network(batch)

        took = [(measure_seconds(extract), measure_seconds(forward)) for _ in range(BATCHES + WARM)][WARM:]
    finally:
        torch.set_num_threads(before)
    ours, bare = (statistics.median(times) for times in zip(*took, strict=True))
    report("extraction of embeddings", ours, floor=bare, at_least=0.95)
