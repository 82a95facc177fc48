"""Normalised batches on a device from samples of a cache, and the order of the samples in an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.core.randomness import generator_at
from tfm.data.cache.arrays import ARRAYS
from tfm.data.cache.cache import Cache
from tfm.models.normalisation import Normalisation
from tfm.training.inputs.samples import Samples

OTHER_VIEW = "other_view"  # a target: for each image, the other view of its breast
_BLOCK = 64  # images read together: bounds the memory


def measure_intensities(cache: Cache, train: Samples) -> Generator[Event, None, Normalisation]:
    """Measure mean and deviation within the breast from a histogram of integers: exact in any order of the images."""
    white = get_full_scale(cache)
    counts = np.zeros(white + 1, dtype=np.int64)
    for start in range(0, len(train), _BLOCK):
        positions = np.sort(train.positions[start : start + _BLOCK])
        inside = cache.images[positions][cache.breast[positions] > 0]
        counts += np.bincount(inside, minlength=white + 1)
        yield Progress("grey values of the training images", start + len(positions), len(train), "images")
    if not counts.any():
        raise DataError(
            f"none of the {len(train)} training images has a breast mask in the cache {cache.folder.name}",
            hint="check the cache on a contact sheet, then preprocess again with other steps",
        )
    levels = np.arange(white + 1) / white
    mean = float(np.average(levels, weights=counts))
    deviation = float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))
    return Normalisation(mean, max(deviation, 1 / white))  # not zero, as in flat images


def hash_pixels(cache: Cache, *splits: Samples) -> Generator[Event, None, dict[str, str]]:
    """Hash each array's pixels of these samples: a cache that was made again under its name may hold others."""
    positions = np.concatenate([samples.positions for samples in splits])
    digests = {name: hashlib.sha256() for name in ARRAYS}
    for start in range(0, len(positions), _BLOCK):
        block = positions[start : start + _BLOCK]
        for name, digest in digests.items():
            digest.update(getattr(cache, name)[block])
        yield Progress("fingerprint of the images", start + len(block), len(positions), "images")
    return {name: digest.hexdigest() for name, digest in digests.items()}


def get_full_scale(cache: Cache) -> int:
    return int(np.iinfo(cache.images.dtype).max)


def split_evenly(places: np.ndarray, size: int) -> list[np.ndarray]:
    """Split into as few batches of at most `size` as possible, whose sizes differ by one at most.

    No batch has a single image, which batch statistics cannot use: of an odd number in twos, one batch has three.
    """
    return np.array_split(places, min(-(-len(places) // size), max(len(places) // 2, 1)))


def shuffle_samples(seed: int, epoch: int, count: int) -> np.ndarray:
    return generator_at(seed, "order", epoch).permutation(count)


def balance_samples(seed: int, epoch: int, labels: np.ndarray) -> np.ndarray:
    """Shuffle as many benign as malignant samples, as many as there are in all.

    Sample i, taken for the k-th time, has place i + k × (number of samples), so that each time it is augmented anew.
    """
    generator, count = generator_at(seed, "order", epoch), len(labels)
    places = []
    for label, share in ((0, count // 2), (1, count - count // 2)):
        members = generator.permutation(np.flatnonzero(labels == label))
        if not len(members):
            raise DataError(
                f"none of the {count} training images is {'malignant' if label else 'benign'}, so they cannot be "
                "balanced",
                hint="organize a larger part of the data, or do not balance the classes: "
                f"{hints.setting('balance', 'none')}",
            )
        again = np.arange(share) // len(members)
        places.append(np.resize(members, share) + again * count)
    return generator.permutation(np.concatenate(places))


def draw_numbers(count: int, each: int, *address: str | int) -> np.ndarray:
    """(count, each) float32 in [0, 1): row i belongs to image i, whatever batch it is in."""
    return generator_at(*address).random((count, each), dtype=np.float32)


@dataclass(frozen=True)
class Batch:
    images: torch.Tensor  # (B, 1, H, W), normalised
    targets: dict[str, torch.Tensor]  # what the task needs: labels (B,), breast and lesions (B, 1, H, W) uint8, others
    draws: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))  # (B, k), as `draw_numbers` gives


def mirror_batch(batch: Batch) -> Batch:
    """Mirror images and masks. The task must not use draws."""
    targets = {name: one.flip(-1) if one.ndim == 4 else one for name, one in batch.targets.items()}
    return Batch(batch.images.flip(-1), targets)


@dataclass(frozen=True)
class Images:
    """One split's images, read from the cache and brought to the device. They are not augmented."""

    cache: Cache
    samples: Samples
    normalisation: Normalisation
    device: torch.device
    arrays_on_device: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def load(self, chosen: np.ndarray) -> torch.Tensor:  # (B, 1, H, W), normalised
        return self.normalise(self.load_greys(chosen))

    def load_greys(self, chosen: np.ndarray) -> torch.Tensor:  # (B, 1, H, W) float32 in 0..1
        return self._load("images", chosen)[:, None].to(torch.float32).div_(get_full_scale(self.cache))

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.normalisation.mean).div_(self.normalisation.deviation)

    def load_targets(self, chosen: np.ndarray, needs: Iterable[str]) -> dict[str, torch.Tensor]:
        return {name: self._load_target(name, chosen) for name in needs}

    def _load_target(self, name: str, chosen: np.ndarray) -> torch.Tensor:
        if name == "labels":
            return torch.from_numpy(self.samples.labels[chosen].astype(np.float32)).to(self.device)
        if name == OTHER_VIEW:
            return self.load(self.samples.other_views[chosen])
        return self._load(name, chosen)[:, None]

    def _load(self, name: str, chosen: np.ndarray) -> torch.Tensor:  # (B, H, W) uint8 or uint16, on the device
        positions = self.samples.positions[chosen]
        if name not in self.arrays_on_device:
            return torch.from_numpy(getattr(self.cache, name)[positions]).to(self.device)
        array = self.arrays_on_device[name]
        # On a GPU, torch cannot index arrays of unsigned 16-bit integers.
        signed = array.view(torch.int16) if array.dtype == torch.uint16 else array
        return signed[torch.from_numpy(positions).to(self.device)].view(array.dtype)
