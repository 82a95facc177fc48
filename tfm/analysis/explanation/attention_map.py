"""Where an encoder looks: the attention of its last block, put back into the image. Scores of such maps are metrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tfm.models.attention import find_blocks, record_attention
from tfm.models.features import compute_feature_map


def compute_attention_map(network: nn.Module, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, H, W)
    """How much the last block looks at each place, heads averaged; one where attention is even."""
    block: Any = find_blocks(network)[-1]
    grids: list[torch.Size] = []
    hook = block.register_forward_pre_hook(lambda _, given: grids.append(given[0].shape))
    try:
        with torch.no_grad(), record_attention([block.attn]) as seen:
            compute_feature_map(network, images)
    finally:
        hook.remove()
    (_, height, width, _), (weights,) = grids[0], seen
    return resize_to_images(merge_windows(weights, (height, width), block.window_size, block.shift_size), images)


def merge_windows(
    weights: torch.Tensor, grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> torch.Tensor:
    """(images × windows, heads, n, n) → (B, *grid): how much each place is looked at, by all of its window together.

    What falls on padding is shared out among the window's real places, and what padding looks at counts for nothing:
    so an even look is one at every place, at the rim too.
    """
    down, right = (-(-side // length) for side, length in zip(grid, window, strict=True))
    padded = torch.zeros(down * window[0], right * window[1], device=weights.device)
    padded[: grid[0], : grid[1]] = 1
    real = padded.view(down, window[0], right, window[1]).transpose(1, 2).reshape(down * right, 1, -1)
    looks = weights.mean(1).view(-1, down * right, *weights.shape[2:]) * real  # (B, windows, n, n): from, to
    all_of = looks.sum(-1, keepdim=True)
    looks = torch.where((real.mT > 0) & (all_of > 0), looks / all_of, 0)  # padding may look at padding alone: 0 of 0
    tiles: torch.Tensor = looks.sum(-2).view(-1, down, right, *window).transpose(2, 3).reshape(-1, *padded.shape)
    return tiles[:, : grid[0], : grid[1]].roll(shift, dims=(1, 2))


def resize_to_images(maps: torch.Tensor, images: torch.Tensor) -> torch.Tensor:  # (B, h, w), (B, 1, H, W) → (B, H, W)
    """Between the middles of its places a map goes over evenly."""
    return functional.interpolate(maps[:, None], images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
