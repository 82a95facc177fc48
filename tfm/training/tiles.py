"""Square tiles of images that are too large for a network: where training cuts them, and how they cover an image."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.data.cache.cache import Cache
from tfm.models.tile_starts import get_tile_starts

DRAWS = 4  # random numbers that choose an image's tile: whether it shows a lesion, which pixel of it, and its place
_AIM, _PIXEL, _DOWN, _RIGHT = range(DRAWS)


def get_input_size(tile: int | None, cache: Cache) -> tuple[int, int]:
    """Height and width of the network's input."""
    size: tuple[int, int] = cache.images.shape[1:]
    if tile is None:
        return size
    if tile > min(size):
        raise SettingsError(
            f"tiles of {tile} pixels cannot be cut out of images of {size[0]} × {size[1]}",
            hint=f"choose a smaller {hints.setting('tile')}, or none: {hints.setting('tile', 'none')}",
            fields=("tile",),
        )
    return tile, tile


def cut_tiles(
    images: torch.Tensor, lesions: torch.Tensor, draws: np.ndarray, tile: int, lesion_share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and lesions (B, 1, H, W), draws (B, DRAWS) → one tile (B, 1, tile, tile) of each."""
    corners = _find_corners(lesions, draws.astype(np.float64), tile, lesion_share)
    parts = [(..., slice(top, top + tile), slice(left, left + tile)) for top, left in corners]

    def cut(whole: torch.Tensor) -> torch.Tensor:
        return torch.stack([one[part] for one, part in zip(whole, parts, strict=True)])

    return cut(images), cut(lesions)


def count_pixels_in_tiles(pixels: np.ndarray, share: float, lesion_share: float) -> np.ndarray:
    """The expected pixels of each value in one tile of each image, from those in whole images (background first).

    `share` is a tile's share of an image. A tile cut for a lesion counts as if it showed all of it.
    """
    kept = lesion_share + (1 - lesion_share) * share
    return np.asarray(pixels * np.where(np.arange(len(pixels)) > 0, kept, share))


def _find_corners(lesions: torch.Tensor, draws: np.ndarray, tile: int, lesion_share: float) -> list[tuple[int, int]]:
    """A tile for a lesion is any of those that contain a pixel of it; each pixel is equally likely."""
    height, width = lesions.shape[-2:]
    running = (lesions > 0).flatten(1).cumsum(1)
    count = running[:, -1:].cpu().numpy()
    wanted = np.floor(draws[:, [_PIXEL]] * count).astype(np.int64) + 1
    at = torch.searchsorted(running, torch.from_numpy(wanted).to(running.device)).cpu().numpy()[:, 0]
    aimed = (draws[:, _AIM] < lesion_share) & (count[:, 0] > 0)
    tops = _choose_starts(np.where(aimed, at // width, -1), height, tile, draws[:, _DOWN])
    lefts = _choose_starts(np.where(aimed, at % width, -1), width, tile, draws[:, _RIGHT])
    return list(zip(tops.tolist(), lefts.tolist(), strict=True))


def _choose_starts(pixel: np.ndarray, side: int, tile: int, draw: np.ndarray) -> np.ndarray:
    """The first row of a tile that contains a pixel's row, or of any tile where `pixel` is -1."""
    first = np.where(pixel < 0, 0, np.maximum(pixel - tile + 1, 0))
    last = np.where(pixel < 0, side - tile, np.minimum(pixel, side - tile))
    return np.asarray(first + np.floor(draw * (last - first + 1)), np.int64)


def predict_probabilities(network: nn.Module, images: torch.Tensor, tile: int | None, overlap: float) -> torch.Tensor:
    """images (B, 1, H, W) → (B, classes, H, W) float32: the whole image at once, or tile by tile and blended."""
    if tile is None:
        whole: torch.Tensor = network(images)
        return whole.float().softmax(1)
    ramp = torch.minimum(torch.arange(1, tile + 1), torch.arange(tile, 0, -1)).to(images.device, torch.float32)
    weight = ramp[:, None] * ramp
    total = torch.zeros(images.shape[-2:], device=images.device)
    blended: torch.Tensor | None = None
    for top in get_tile_starts(images.shape[-2], tile, overlap):
        for left in get_tile_starts(images.shape[-1], tile, overlap):
            part = (..., slice(top, top + tile), slice(left, left + tile))
            probs = network(images[part]).float().softmax(1) * weight
            if blended is None:
                blended = torch.zeros(*probs.shape[:2], *images.shape[-2:], device=images.device)
            blended[part] += probs
            total[part] += weight
    assert blended is not None
    return blended / total
