"""Squares of images too large for a network: where training cuts them, and how they cover an image one by one."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.data.cache.cache import Cache

CHANCES = 4  # numbers that choose one image's square: whether it shows a lesion, which pixel of it, and its place
_AIM, _PIXEL, _DOWN, _RIGHT = range(CHANCES)


def seen_at_once(tile: int | None, cache: Cache) -> tuple[int, int]:
    """Height and width of what the network sees at once."""
    size: tuple[int, int] = cache.images.shape[1:]
    if tile is None:
        return size
    if tile > min(size):
        raise SettingsError(
            f"squares of {tile} pixels cannot be cut out of images of {size[0]} × {size[1]}",
            hint=f"choose a smaller {hints.setting('tile')}, or none: {hints.setting('tile', 'none')}",
            fields=("tile",),
        )
    return tile, tile


def cut_out(
    images: torch.Tensor, lesions: torch.Tensor, chances: np.ndarray, tile: int, lesion_share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and lesions (B, 1, H, W), chances (B, CHANCES) → one square (B, 1, tile, tile) of each."""
    corners = _corners(lesions, chances.astype(np.float64), tile, lesion_share)
    parts = [(..., slice(top, top + tile), slice(left, left + tile)) for top, left in corners]

    def squares(whole: torch.Tensor) -> torch.Tensor:
        return torch.stack([one[part] for one, part in zip(whole, parts, strict=True)])

    return squares(images), squares(lesions)


def pixels_shown(pixels: np.ndarray, share: float, lesion_share: float) -> np.ndarray:
    """Of so many pixels of each value in whole images, background first, those in one square of each image on average;
    `share` is what a square is of an image. A square cut for a lesion counts as one that holds it whole."""
    kept = lesion_share + (1 - lesion_share) * share
    return np.asarray(pixels * np.where(np.arange(len(pixels)) > 0, kept, share))


def _corners(lesions: torch.Tensor, chances: np.ndarray, tile: int, lesion_share: float) -> list[tuple[int, int]]:
    """Of a square for a lesion, one among all that hold a pixel of it, any pixel being as likely as any other."""
    height, width = lesions.shape[-2:]
    running = (lesions > 0).flatten(1).cumsum(1)
    count = running[:, -1:].cpu().numpy()
    wanted = np.floor(chances[:, [_PIXEL]] * count).astype(np.int64) + 1
    at = torch.searchsorted(running, torch.from_numpy(wanted).to(running.device)).cpu().numpy()[:, 0]
    aimed = (chances[:, _AIM] < lesion_share) & (count[:, 0] > 0)
    tops = _placed(np.where(aimed, at // width, -1), height, tile, chances[:, _DOWN])
    lefts = _placed(np.where(aimed, at % width, -1), width, tile, chances[:, _RIGHT])
    return list(zip(tops.tolist(), lefts.tolist(), strict=True))


def _placed(pixel: np.ndarray, side: int, tile: int, chance: np.ndarray) -> np.ndarray:
    """The first row of a square that holds a pixel's row, or any square where that is -1."""
    first = np.where(pixel < 0, 0, np.maximum(pixel - tile + 1, 0))
    last = np.where(pixel < 0, side - tile, np.minimum(pixel, side - tile))
    return np.asarray(first + np.floor(chance * (last - first + 1)), np.int64)


def probabilities(network: nn.Module, images: torch.Tensor, tile: int | None, overlap: float) -> torch.Tensor:
    """images (B, 1, H, W) → (B, classes, H, W) float32: whole, or square by square, blended where these overlap."""
    if tile is None:
        whole: torch.Tensor = network(images)
        return whole.float().softmax(1)
    ramp = torch.minimum(torch.arange(1, tile + 1), torch.arange(tile, 0, -1)).to(images.device, torch.float32)
    weight = ramp[:, None] * ramp
    total = torch.zeros(images.shape[-2:], device=images.device)
    blended: torch.Tensor | None = None
    for top in starts(images.shape[-2], tile, overlap):
        for left in starts(images.shape[-1], tile, overlap):
            part = (..., slice(top, top + tile), slice(left, left + tile))
            said = network(images[part]).float().softmax(1) * weight
            if blended is None:
                blended = torch.zeros(*said.shape[:2], *images.shape[-2:], device=images.device)
            blended[part] += said
            total[part] += weight
    assert blended is not None
    return blended / total


def starts(side: int, tile: int, overlap: float) -> list[int]:
    """The first rows of squares that cover a side, evenly, each overlapping the next by no less than that share."""
    steps = int(np.ceil((side - tile) / (tile * (1 - overlap))))
    return [round(start) for start in np.linspace(0, side - tile, steps + 1)]
