"""From rows of a cache to normalised batches on a device, and the order in which an epoch takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tfm.core.randomness import generator_at
from tfm.data.cache import Cache
from tfm.train.rows import Rows

_AT_ONCE = 64  # images whose histogram is taken together: bounds the memory


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of intensity (0..1) within the breast, over a run's own training images."""

    mean: float
    deviation: float


def measure(cache: Cache, train: Rows) -> Normalisation:
    """From a histogram in whole numbers: exact, whatever the order of the images."""
    white = full_scale(cache)
    counts = np.zeros(white + 1, dtype=np.int64)
    for start in range(0, len(train), _AT_ONCE):
        chosen = np.sort(train.positions[start : start + _AT_ONCE])
        inside = cache.images[chosen][cache.breast[chosen] > 0]
        counts += np.bincount(inside, minlength=white + 1)
    levels = np.arange(white + 1) / white
    mean = float(np.average(levels, weights=counts))
    deviation = float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))
    return Normalisation(mean, max(deviation, 1 / white))  # a flat image has none to divide by


def full_scale(cache: Cache) -> int:
    return int(np.iinfo(cache.images.dtype).max)


def order(seed: int, epoch: int, count: int, batch_size: int) -> list[np.ndarray]:
    """An epoch's batches. Their sizes differ by one at most: none is too small for batch statistics."""
    shuffled = generator_at(seed, "order", epoch).permutation(count)
    return np.array_split(shuffled, -(-count // batch_size))


def in_turn(count: int, batch_size: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), -(-count // batch_size))


def read(cache: Cache, positions: np.ndarray) -> torch.Tensor:  # (B, H, W) uint8 or uint16, on the host
    return torch.from_numpy(cache.images[positions])


def films(cache: Cache, positions: np.ndarray, device: torch.device) -> torch.Tensor:  # (B, 1, H, W) float32 in 0..1
    grey = read(cache, positions).to(device)  # given a dtype as well, `to` would widen it on the host
    return grey[:, None].to(torch.float32).div_(full_scale(cache))


@dataclass(frozen=True)
class Images:
    """One split's images on their way into the network, as they are: only the training loop changes any."""

    cache: Cache
    rows: Rows
    normalisation: Normalisation
    device: torch.device

    def films(self, chosen: np.ndarray) -> torch.Tensor:  # (B, 1, H, W) in 0..1
        return films(self.cache, self.rows.positions[chosen], self.device)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.normalisation.mean).div_(self.normalisation.deviation)

    def batch(self, chosen: np.ndarray) -> torch.Tensor:  # (B, 1, H, W)
        return self.normalised(self.films(chosen))

    def labels(self, chosen: np.ndarray) -> torch.Tensor:  # (B,) 0. or 1.
        return torch.from_numpy(self.rows.labels[chosen].astype(np.float32)).to(self.device)
