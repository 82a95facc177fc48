"""From rows of a cache to normalised batches on a device, and the order in which an epoch takes them."""

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
from tfm.training.inputs.samples import Rows

_AT_ONCE = 64  # images whose histogram is taken together: bounds the memory


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of intensity (0..1) within the breast, over a run's own training images."""

    mean: float
    deviation: float


def measure(cache: Cache, train: Rows) -> Generator[Event, None, Normalisation]:
    """From a histogram in whole numbers: exact, whatever the order of the images."""
    white = full_scale(cache)
    counts = np.zeros(white + 1, dtype=np.int64)
    for start in range(0, len(train), _AT_ONCE):
        chosen = np.sort(train.positions[start : start + _AT_ONCE])
        inside = cache.images[chosen][cache.breast[chosen] > 0]
        counts += np.bincount(inside, minlength=white + 1)
        yield Progress("greys of the training images", start + len(chosen), len(train), "images")
    if not counts.any():
        raise DataError(
            f"none of the {len(train)} images to learn from has a breast in the cache {cache.folder.name}",
            hint="look at a contact sheet of its steps, then preprocess again with others",
        )
    levels = np.arange(white + 1) / white
    mean = float(np.average(levels, weights=counts))
    deviation = float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))
    return Normalisation(mean, max(deviation, 1 / white))  # a flat image has none to divide by


def fingerprints(cache: Cache, *splits: Rows) -> Generator[Event, None, dict[str, str]]:
    """By array, of every pixel that a run, or who explains it, may read: a cache made anew under its name may hold
    others, and what was learned by one breast mask is not explained by another."""
    positions = np.concatenate([rows.positions for rows in splits])
    digests = {name: hashlib.sha256() for name in ARRAYS}
    for start in range(0, len(positions), _AT_ONCE):
        chosen = positions[start : start + _AT_ONCE]
        for name, digest in digests.items():
            digest.update(getattr(cache, name)[chosen])
        yield Progress("fingerprint of the images", start + len(chosen), len(positions), "images")
    return {name: digest.hexdigest() for name, digest in digests.items()}


def full_scale(cache: Cache) -> int:
    return int(np.iinfo(cache.images.dtype).max)


def cut(places: np.ndarray, size: int) -> list[np.ndarray]:
    """Into as few as will do. Their sizes differ by one at most, and none is of one image, which would be too small for
    batch statistics: of an odd number cut in twos, one is of three."""
    return np.array_split(places, min(-(-len(places) // size), max(len(places) // 2, 1)))


def shuffled(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch takes its images."""
    return generator_at(seed, "order", epoch).permutation(count)


def balanced(seed: int, epoch: int, labels: np.ndarray) -> np.ndarray:
    """As `shuffled`, but as many benign as malignant, and in all as many as there are. Image i that is taken for the
    k-th time stands there as i + k × the number of images, so that it is not changed in the same way each time."""
    generator, count = generator_at(seed, "order", epoch), len(labels)
    taken = []
    for label, share in ((0, count // 2), (1, count - count // 2)):
        members = generator.permutation(np.flatnonzero(labels == label))
        if not len(members):
            raise DataError(
                f"none of the {count} images to learn from is {'malignant' if label else 'benign'}, and half are to be",
                hint=f"organize a larger part of the data, or take the images as they are: "
                f"{hints.setting('balance', 'none')}",
            )
        again = np.arange(share) // len(members)
        taken.append(np.resize(members, share) + again * count)
    return generator.permutation(np.concatenate(taken))


def chances(count: int, each: int, *address: str | int) -> np.ndarray:
    """(count, each) float32 in [0, 1): what a task chooses of an image by chance is row i's of image i, whatever batch
    it comes in."""
    return generator_at(*address).random((count, each), dtype=np.float32)


@dataclass(frozen=True)
class Batch:
    images: torch.Tensor  # (B, 1, H, W), normalised
    truth: dict[str, torch.Tensor]  # what the task needs: labels (B,), breast and lesions (B, 1, H, W) uint8
    chances: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))  # (B, k), as `chances` draws them


def mirrored(batch: Batch) -> Batch:
    """Of a task that draws nothing: masks are mirrored as their images are."""
    truth = {name: one.flip(-1) if one.ndim == 4 else one for name, one in batch.truth.items()}
    return Batch(batch.images.flip(-1), truth)


@dataclass(frozen=True)
class Images:
    """One split's images on their way into the network, as they are: only the training loop changes any."""

    cache: Cache
    rows: Rows
    normalisation: Normalisation
    device: torch.device
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict)  # arrays of the cache that lie on the device

    def films(self, chosen: np.ndarray) -> torch.Tensor:  # (B, 1, H, W) float32 in 0..1
        return self._taken("images", chosen)[:, None].to(torch.float32).div_(full_scale(self.cache))

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.normalisation.mean).div_(self.normalisation.deviation)

    def batch(self, chosen: np.ndarray) -> torch.Tensor:  # (B, 1, H, W)
        return self.normalised(self.films(chosen))

    def labels(self, chosen: np.ndarray) -> torch.Tensor:  # (B,) 0. or 1.
        return torch.from_numpy(self.rows.labels[chosen].astype(np.float32)).to(self.device)

    def truth(self, chosen: np.ndarray, needs: Iterable[str]) -> dict[str, torch.Tensor]:
        return {name: self.labels(chosen) if name == "labels" else self._taken(name, chosen)[:, None] for name in needs}

    def _taken(self, name: str, chosen: np.ndarray) -> torch.Tensor:  # (B, H, W) uint8 or uint16, on the device
        positions = self.rows.positions[chosen]
        if name not in self.kept:
            return torch.from_numpy(getattr(self.cache, name)[positions]).to(self.device)  # widened there
        kept = self.kept[name]
        # As whole numbers with a sign: of those without, torch picks out no rows on a GPU.
        signed = kept.view(torch.int16) if kept.dtype == torch.uint16 else kept
        return signed[torch.from_numpy(positions).to(self.device)].view(kept.dtype)
