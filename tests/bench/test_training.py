"""How much of bare compute is left when training: ours reads, augments, tells and watches over; bare computes only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.returned import returned
from tests.training.small_training import build_training
from tfm.commands.segment import Segment
from tfm.commands.train import Train
from tfm.core.events import Event, Progress
from tfm.core.settings import presets
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.pipelines import segment
from tfm.training.batches import Batch, measure_intensities
from tfm.training.checkpoint import Checkpoints
from tfm.training.inputs.samples import Samples
from tfm.training.loop import run_training
from tfm.training.state import Training

pytestmark = pytest.mark.alone

SIDE, BATCH, STEPS, WARM = 128, 8, 12, 3
GIVEN = {
    "dataset": "none",
    "cache": "none",
    "epochs": 1,
    "batch_size": BATCH,
    "ema": 0.999,
    "gradient_clip": 1.0,
    "dropout": 0.2,
}

SEGMENTED = {name: value for name, value in GIVEN.items() if name != "dropout"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Half of each image is breast; as many images as the training needs."""
    folder = tmp_path_factory.mktemp("cache")
    images = np.random.default_rng(1).integers(1, 256, ((STEPS + WARM) * BATCH, SIDE, SIDE), dtype=np.uint8)
    images[:, :, SIDE // 2 :] = 0
    arrays = {"images": images, "breast": (images > 0).astype(np.uint8), "lesions": np.zeros_like(images)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    names = [str(number) for number in range(len(images))]
    pd.DataFrame({"image_id": names, "sop_uid": names, "record": "{}"}).to_csv(folder / "index.csv", index=False)
    return Cache.open(folder)


def training(architecture: str, cache: Cache) -> Training:
    samples = all_samples(cache)
    if architecture == "DeepLabV3+":
        settings = resolve(Segment, presets.load_preset("models", "DeepLabV3Plus").settings, SEGMENTED)
        normalisation = returned(measure_intensities(cache, samples))
        pixels = np.arange(7, 0, -1)
        return segment.make_recipe(settings, cache, samples, samples, normalisation, pixels).build(torch.device("cpu"))
    return build_training(resolve(Train, {}, GIVEN | {"architecture": architecture}), cache, samples, samples)


def all_samples(cache: Cache) -> Samples:
    positions = np.arange(len(cache.images))
    text = dict.fromkeys(("image_id", "patient_id", "side", "view"), "")
    return Samples(pd.DataFrame({"label": positions % 2}).assign(**text), positions)


def one_step(events: Iterator[Event]) -> None:
    for event in events:
        if isinstance(event, Progress) and event.name == "step":
            return


def bare_step(training: Training) -> Callable[[], None]:
    """Forward, loss, backward, clip, optimizer and average on a batch that is always there."""
    masks = torch.zeros(BATCH, 1, SIDE, SIDE, dtype=torch.uint8)
    batch = Batch(torch.rand(BATCH, 1, SIDE, SIDE), {"labels": torch.arange(BATCH) % 2.0, "lesions": masks})
    weights, average = list(training.network.parameters()), training.ema
    assert average is not None
    training.network.train()

    def step() -> None:
        training.optimizer.zero_grad()
        loss, _ = training.task.compute_loss(training.network, batch)
        (loss / BATCH).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0).item()
        training.optimizer.step()
        average.update(training.network, step=100)

    return step


def seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["MammoCNN", "resnet18", "densenet121", "efficientnet_b3", "DeepLabV3+"])
def test_training_is_at_least_095_of_bare_compute(
    architecture: str, cache: Cache, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        events = run_training(
            training(architecture, cache), Checkpoints(tmp_path, seconds=1e9, key="a key"), tmp_path / "metrics.csv"
        )
        bare = bare_step(training(architecture, cache))
        took = [(seconds(lambda: one_step(events)), seconds(bare)) for _ in range(STEPS + WARM)][WARM:]
    finally:
        torch.set_num_threads(before)
    ours, theirs = (statistics.median(times) for times in zip(*took, strict=True))
    record_property("of bare compute", round(theirs / ours, 3))
    assert theirs / ours >= 0.95
