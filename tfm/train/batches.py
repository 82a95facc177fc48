"""From rows of a cache to normalised batches on a device, and the order in which an epoch takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tfm.core.randomness import generator_at
from tfm.data.cache import Cache
from tfm.train import augment
from tfm.train.rows import Rows

_AT_ONCE = 64  # images whose histogram is taken together: bounds the memory


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of intensity (0..1) within the breast, over a run's own training images."""

    mean: float
    deviation: float


def measure(cache: Cache, train: Rows) -> Normalisation:
    """From a histogram in whole numbers: exact, whatever the order of the images."""
    full_scale = _full_scale(cache)
    counts = np.zeros(full_scale + 1, dtype=np.int64)
    for start in range(0, len(train), _AT_ONCE):
        chosen = np.sort(train.positions[start : start + _AT_ONCE])
        inside = cache.images[chosen][cache.breast[chosen] > 0]
        counts += np.bincount(inside, minlength=full_scale + 1)
    levels = np.arange(full_scale + 1) / full_scale
    mean = float(np.average(levels, weights=counts))
    deviation = float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))
    return Normalisation(mean, max(deviation, 1 / full_scale))  # a flat image has none to divide by


def _full_scale(cache: Cache) -> int:
    return int(np.iinfo(cache.images.dtype).max)


def order(seed: int, epoch: int, count: int, batch_size: int) -> list[np.ndarray]:
    """An epoch's batches. Their sizes differ by one at most: none is too small for batch statistics."""
    shuffled = generator_at(seed, "order", epoch).permutation(count)
    return np.array_split(shuffled, -(-count // batch_size))


def in_turn(count: int, batch_size: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), -(-count // batch_size))


@dataclass(frozen=True)
class Images:
    """One split's images on their way into the network. Only a training loop hands in what `augment` drew."""

    cache: Cache
    rows: Rows
    normalisation: Normalisation
    device: torch.device

    def batch(self, chosen: np.ndarray, drawn: np.ndarray | None = None) -> torch.Tensor:  # (B, 1, H, W)
        films = self.cache.images[self.rows.positions[chosen]].astype(np.float32)
        images = torch.from_numpy(films)[:, None].to(self.device) / _full_scale(self.cache)
        if drawn is not None:
            images = augment.apply(images, drawn)
        return (images - self.normalisation.mean) / self.normalisation.deviation

    def labels(self, chosen: np.ndarray) -> torch.Tensor:  # (B,) 0. or 1.
        return torch.from_numpy(self.rows.labels[chosen].astype(np.float32)).to(self.device)
