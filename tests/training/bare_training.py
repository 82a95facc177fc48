"""A training on a cache without a run around it, and its bare step: what any PyTorch loop must compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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
from tfm.training.inputs.samples import Samples
from tfm.training.precision import autocast
from tfm.training.state import Training

COMMON = {"dataset": "none", "cache": "none", "weights": "none", "epochs": 1, "ema": 0.999, "gradient_clip": 1.0}
MASKS = {"breast": 1, "lesions": 0}


def draw_half_breasts(count: int, size: tuple[int, int]) -> np.ndarray:  # (count, H, W) uint8
    """Draw random grey values. The right half of each image is background."""
    images = np.random.default_rng(1).integers(1, 256, (count, *size), dtype=np.uint8)
    images[:, :, size[1] // 2 :] = 0
    return images


def make_cache(folder: Path, images: np.ndarray) -> Cache:
    """Make a cache without lesions in which all that is not black is breast."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"images": images, "breast": (images > 0).astype(np.uint8), "lesions": np.zeros_like(images)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    names = [str(number) for number in range(len(images))]
    pd.DataFrame({"image_id": names, "sop_uid": names, "record": "{}"}).to_csv(folder / "index.csv", index=False)
    return Cache.open(folder)


def select_samples(cache: Cache, count: int) -> Samples:
    """So many samples, every other one malignant. Images of a smaller cache are taken again."""
    numbers = np.arange(count)
    text = dict.fromkeys(("image_id", "patient_id", "side", "view"), "")
    return Samples(pd.DataFrame({"label": numbers % 2}).assign(**text), numbers % len(cache.images))


def build_bare_training(
    architecture: str, cache: Cache, samples: Samples, given: dict[str, Any], device: torch.device
) -> Training:
    """Build an architecture of `train`, or DeepLabV3+ as `segment` does."""
    if architecture == "DeepLabV3+":
        settings = resolve(Segment, presets.load_preset("models", "DeepLabV3Plus").settings, COMMON | given)
        normalisation = returned(measure_intensities(cache, samples))
        pixels = np.arange(7, 0, -1)
        return segment.make_recipe(settings, cache, samples, samples, normalisation, pixels).build(device)
    return build_training(
        resolve(Train, {}, COMMON | given | {"architecture": architecture}), cache, samples, samples, device
    )


def draw_batch(training: Training) -> Batch:
    """Draw a batch that is on the device already. Its images are breast throughout and have no lesion."""
    device, shape = training.device, (training.batch_size, 1, *training.train.cache.images.shape[1:])
    masks = {name: torch.full(shape, value, dtype=torch.uint8, device=device) for name, value in MASKS.items()}
    labels = (torch.arange(training.batch_size) % 2).float().to(device)
    return Batch(torch.rand(shape, device=device), masks | {"labels": labels})


def take_bare_step(training: Training, batch: Batch) -> None:
    """Forward, loss, backward, clip, optimizer and moving average."""
    assert training.ema is not None
    training.optimizer.zero_grad()
    with autocast(training.precision, training.device):
        loss, _ = training.task.compute_loss(training.compiled_network, batch)
    (loss / len(batch.images)).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(list(training.network.parameters()), 1.0).item()
    training.optimizer.step()
    training.ema.update(training.network, step=100)


def take_step(events: Iterator[Event]) -> None:
    """Continue a training up to the end of its next step."""
    for event in events:
        if isinstance(event, Progress) and event.name == "step":
            return
    raise AssertionError("the training ended before")


def repeat_bare_step(training: Training) -> Callable[[], None]:
    """A bare step on a batch that is always there."""
    batch = draw_batch(training)
    training.network.train()
    return lambda: take_bare_step(training, batch)
