"""Random augmentation of training images: one table of random numbers for each epoch, applied on the batch's device.

The strengths are settings. The loop decides which images are augmented.
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
_NOISE_SHIFTS = 256  # the noise field is this much wider and higher than an image, and has as many windows each way
_MEAN_STRIDE = 4  # an image's mean is taken over every fourth pixel each way, which is much faster
_FAINTEST = 1e-6  # replaces black before the logarithm: a fifteenth of the first grey of a 16-bit image

Table = np.ndarray[Any, np.dtype[np.float32]]


def draw_table(seed: int, epoch: int, count: int) -> Table:
    """(count, COLUMNS) in [-1, 1): row i belongs to image i, whatever batch it is in. Strengths are applied later, so
    that changing one strength leaves the other changes as they were."""
    return generator_at(seed, "augment", epoch).random((count, COLUMNS), dtype=np.float32) * 2 - 1


def augment_images(images: torch.Tensor, table: Table, settings: AugmentSettings) -> torch.Tensor:
    """Augment images (B, 1, H, W) float32 in 0..1 by `table` (B, COLUMNS). Black pixels stay black.

    Every operation is exactly rounded, uses integers or treats each pixel alike, so an image's bits do not depend on
    the other images of its batch.
    """
    if not settings.augment:
        return images
    moved = _move(images, table, settings, "bilinear")
    tissue = moved > 0
    _change_tone(moved, tissue, table, settings)
    if settings.noise:
        moved += _make_noise(moved, table).mul_(_expand_per_image(settings.noise * table[:, NOISE], moved))
    return moved.clamp_(0, 1).mul_(tissue)


def augment_masks(masks: torch.Tensor, table: Table, settings: AugmentSettings) -> torch.Tensor:
    """Move masks (B, 1, H, W) as `augment_images` moves their images, by the nearest neighbour."""
    if not settings.augment:
        return masks
    return _move(masks.to(torch.float32), table, settings, "nearest").to(masks.dtype)


def _move(images: torch.Tensor, table: Table, settings: AugmentSettings, mode: str) -> torch.Tensor:
    """Return a new tensor in any case."""
    if not any((settings.rotation, settings.shift, settings.zoom, settings.mirror, settings.upside_down)):
        return images.clone()
    return functional.grid_sample(images, make_grid(images, table, settings), mode=mode, align_corners=False)


def make_grid(images: torch.Tensor, table: Table, settings: AugmentSettings) -> torch.Tensor:
    """(B, H, W, 2): where each pixel comes from. Sums of a row and a column are several times faster than the matrix
    products of torch's affine_grid."""
    count, _, height, width = images.shape
    matrix = torch.from_numpy(make_affine(table, settings, width / height)).to(images.device)[..., None, None]
    across, down = _get_pixel_centres(width, images.device), _get_pixel_centres(height, images.device)[:, None]
    grid = torch.empty((count, height, width, 2), device=images.device)
    for axis in (0, 1):
        row, column = matrix[:, axis, 0] * across, matrix[:, axis, 1] * down + matrix[:, axis, 2]
        torch.add(row, column, out=grid[..., axis])
    return grid


def _get_pixel_centres(count: int, device: torch.device) -> torch.Tensor:
    """In -1..1."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1


def make_affine(table: Table, settings: AugmentSettings, aspect: float) -> Table:
    """(B, 2, 3): maps a pixel of the result to where it comes from, both in -1..1; `aspect` is width / height."""
    amount = table.astype(np.float64)
    angle = amount[:, TURN] * np.radians(settings.rotation)
    zoom = 1 + settings.zoom * amount[:, ZOOM]
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    mirror, upside_down = (
        _get_sign(amount[:, MIRROR], settings.mirror),
        _get_sign(amount[:, UPSIDE_DOWN], settings.upside_down),
    )
    shift = settings.shift * 2
    across = np.stack([cosine * mirror, -sine * upside_down / aspect, shift * amount[:, RIGHT]], axis=1)
    down = np.stack([sine * mirror * aspect, cosine * upside_down, shift * amount[:, DOWN]], axis=1)
    return np.stack([across, down], axis=1).astype(np.float32)


def _get_sign(amount: np.ndarray, share: float) -> np.ndarray:
    """-1 for the share of images that are flipped, 1 for the others."""
    return np.where(amount < 2 * share - 1, -1.0, 1.0)


def _change_tone(images: torch.Tensor, tissue: torch.Tensor, table: Table, settings: AugmentSettings) -> None:
    """Change in place; the caller restores black. Contrast is relative to the mean of the image's tissue, not to
    mid-grey, so that it leaves the mean as it is in dark and in bright images."""
    amount = table.astype(np.float64)
    if settings.gamma:
        # Not pow: on a CPU it rounds the last few pixels of a batch differently.
        # Not the logarithm of zero: it is four times slower than any other.
        gamma = _expand_per_image((1 + settings.gamma) ** amount[:, GAMMA], images)
        images.clamp_(min=_FAINTEST).log_().mul_(gamma).exp_()
    if settings.contrast:
        contrast = _expand_per_image(1 + settings.contrast * amount[:, CONTRAST], images)
        rest = (1 - contrast) * _compute_tissue_mean(images, tissue)
        images.mul_(contrast).add_(rest)
    if settings.brightness:
        images.mul_(_expand_per_image(1 + settings.brightness * amount[:, BRIGHTNESS], images))


def _compute_tissue_mean(images: torch.Tensor, tissue: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1, 1). Sums of integers are exact in any order."""
    inside = tissue[..., ::_MEAN_STRIDE, ::_MEAN_STRIDE]
    total = (
        (images[..., ::_MEAN_STRIDE, ::_MEAN_STRIDE] * 65535)
        .round()
        .mul_(inside)
        .sum((1, 2, 3), keepdim=True, dtype=torch.int64)
    )
    count = inside.sum((1, 2, 3), keepdim=True) * 65535
    return total / count.clamp(min=1)


def _make_noise(images: torch.Tensor, table: Table) -> torch.Tensor:
    """(B, 1, H, W) with deviation 1: each image has its own window of one field."""
    windows = _get_noise_windows(*images.shape[-2:], images.device)
    at = torch.from_numpy(((table[:, [NOISE_DOWN, NOISE_RIGHT]] + 1) / 2 * _NOISE_SHIFTS).astype(np.int64)).to(
        images.device
    )
    return windows[at[:, 0], at[:, 1]][:, None]


@functools.lru_cache(maxsize=1)
def _get_noise_windows(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(_NOISE_SHIFTS + 1, _NOISE_SHIFTS + 1, H, W): every window of the field, as views. All seeds share the field: a
    seed chooses windows and signs."""
    field = generator_at("noise", height, width).standard_normal(
        (height + _NOISE_SHIFTS, width + _NOISE_SHIFTS), dtype=np.float32
    )
    return torch.from_numpy(field).to(device).unfold(0, height, 1).unfold(1, width, 1)


def _expand_per_image(values: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1, 1): a number for each image, on the images' device."""
    return torch.from_numpy(values.astype(np.float32)).to(images.device)[:, None, None, None]
