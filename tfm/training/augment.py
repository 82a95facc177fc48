"""Random changes to training images: drawn by address as one table an epoch, made on the batch's own device.

How strong they are stands in settings; which images get them is the training loop's to say.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tfm.core.randomness import generator_at
from tfm.training.settings import AugmentSettings

TURN, RIGHT, DOWN, ZOOM, MIRROR, UPSIDE_DOWN, BRIGHTNESS, CONTRAST, GAMMA, NOISE, NOISE_RIGHT, NOISE_DOWN = range(12)
COLUMNS = 12
_SPARE = 256  # pixels by which the noise field is wider and higher than an image: so many windows each way
_EACH = 4  # an image's mean is that of each fourth pixel each way: as good a pivot in a small part of the time
_FAINTEST = 1e-6  # what black counts as where its logarithm is taken: a fifteenth of a 16-bit image's first grey

Table = np.ndarray[Any, np.dtype[np.float32]]


def draw(seed: int, epoch: int, count: int) -> Table:
    """(count, COLUMNS) in [-1, 1): row i belongs to image i, whatever batch it comes in. Strengths come later, so
    that another strength of one change leaves the others as they were."""
    return generator_at(seed, "augment", epoch).random((count, COLUMNS), dtype=np.float32) * 2 - 1


def apply(images: torch.Tensor, drawn: Table, settings: AugmentSettings) -> torch.Tensor:
    """Images (B, 1, H, W) float32 in 0..1, black around the breast; `drawn` (B, COLUMNS). What is black stays black.

    Every operation is exactly rounded, goes through whole numbers or treats each pixel alike, so that an image comes
    out with the same bits whatever it shares a batch with.
    """
    if not settings.augment:
        return images
    moved = _moved(images, drawn, settings, "bilinear")
    tissue = moved > 0
    _change_tone(moved, tissue, drawn, settings)
    if settings.noise:
        moved += _noise(moved, drawn).mul_(_each(settings.noise * drawn[:, NOISE], moved))
    return moved.clamp_(0, 1).mul_(tissue)


def apply_geometry(masks: torch.Tensor, drawn: Table, settings: AugmentSettings) -> torch.Tensor:
    """Masks (B, 1, H, W) of classes, moved as `apply` moves their images: each pixel takes its nearest one's class."""
    if not settings.augment:
        return masks
    return _moved(masks.to(torch.float32), drawn, settings, "nearest").to(masks.dtype)


def _moved(images: torch.Tensor, drawn: Table, settings: AugmentSettings, mode: str) -> torch.Tensor:
    """Always a tensor of its own."""
    if not any((settings.rotation, settings.shift, settings.zoom, settings.mirror, settings.upside_down)):
        return images.clone()
    return functional.grid_sample(images, _grid(images, drawn, settings), mode=mode, align_corners=False)


def _grid(images: torch.Tensor, drawn: Table, settings: AugmentSettings) -> torch.Tensor:
    """(B, H, W, 2): from where each pixel is taken. Sums of a row and a column, as torch's affine_grid makes them by
    matrix products in several times the time."""
    count, _, height, width = images.shape
    matrix = torch.from_numpy(_affine(drawn, settings, width / height)).to(images.device)[..., None, None]
    across, down = _centres(width, images.device), _centres(height, images.device)[:, None]
    grid = torch.empty((count, height, width, 2), device=images.device)
    for axis in (0, 1):
        row, column = matrix[:, axis, 0] * across, matrix[:, axis, 1] * down + matrix[:, axis, 2]
        torch.add(row, column, out=grid[..., axis])
    return grid


def _centres(count: int, device: torch.device) -> torch.Tensor:
    """Of so many pixels in a row, in -1..1."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1


def _affine(drawn: Table, settings: AugmentSettings, aspect: float) -> Table:
    """(B, 2, 3): from a pixel of the result to where it is taken from, both in -1..1; `aspect` is width / height."""
    amount = drawn.astype(np.float64)
    angle = amount[:, TURN] * np.radians(settings.rotation)
    zoom = 1 + settings.zoom * amount[:, ZOOM]
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    mirror, upside_down = _sign(amount[:, MIRROR], settings.mirror), _sign(amount[:, UPSIDE_DOWN], settings.upside_down)
    shift = settings.shift * 2
    across = np.stack([cosine * mirror, -sine * upside_down / aspect, shift * amount[:, RIGHT]], axis=1)
    down = np.stack([sine * mirror * aspect, cosine * upside_down, shift * amount[:, DOWN]], axis=1)
    return np.stack([across, down], axis=1).astype(np.float32)


def _sign(amount: np.ndarray, share: float) -> np.ndarray:
    """-1 for the share that is flipped, 1 for the others."""
    return np.where(amount < 2 * share - 1, -1.0, 1.0)


def _change_tone(images: torch.Tensor, tissue: torch.Tensor, drawn: Table, settings: AugmentSettings) -> None:
    """In place; of black too, which the caller puts back. Contrast turns about the image's own mean of tissue, not
    about mid-grey: so it leaves the mean to brightness, in dark films as in bright ones."""
    amount = drawn.astype(np.float64)
    if settings.gamma:
        # Not pow: on a CPU it rounds the last few pixels of a batch another way than the others.
        # Not the logarithm of zero: it takes four times as long as any other.
        images.clamp_(min=_FAINTEST).log_().mul_(_each((1 + settings.gamma) ** amount[:, GAMMA], images)).exp_()
    if settings.contrast:
        contrast = _each(1 + settings.contrast * amount[:, CONTRAST], images)
        rest = (1 - contrast) * _tissue_mean(images, tissue)
        images.mul_(contrast).add_(rest)
    if settings.brightness:
        images.mul_(_each(1 + settings.brightness * amount[:, BRIGHTNESS], images))


def _tissue_mean(images: torch.Tensor, tissue: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1, 1). Summed as whole numbers: exact in any order."""
    inside = tissue[..., ::_EACH, ::_EACH]
    total = (images[..., ::_EACH, ::_EACH] * 65535).round().mul_(inside).sum((1, 2, 3), keepdim=True, dtype=torch.int64)
    count = inside.sum((1, 2, 3), keepdim=True) * 65535
    return total / count.clamp(min=1)


def _noise(images: torch.Tensor, drawn: Table) -> torch.Tensor:
    """(B, 1, H, W), deviation 1: each image's own window of one field."""
    windows = _noise_windows(*images.shape[-2:], images.device)
    at = torch.from_numpy(((drawn[:, [NOISE_DOWN, NOISE_RIGHT]] + 1) / 2 * _SPARE).astype(np.int64)).to(images.device)
    return windows[at[:, 0], at[:, 1]][:, None]


@functools.lru_cache(maxsize=1)
def _noise_windows(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(_SPARE + 1, _SPARE + 1, H, W): every window of the field, as views. The field is one for all seeds: a seed
    chooses windows and signs."""
    field = generator_at("noise", height, width).standard_normal((height + _SPARE, width + _SPARE), dtype=np.float32)
    return torch.from_numpy(field).to(device).unfold(0, height, 1).unfold(1, width, 1)


def _each(values: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1, 1): a number for each image, where the images are."""
    return torch.from_numpy(values.astype(np.float32)).to(images.device)[:, None, None, None]
