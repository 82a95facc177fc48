"""Attention maps: the attention weights of an encoder's last block, placed over the image.
The scores of such maps are in `tfm.metrics.saliency`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tfm.models.features import compute_feature_map
from tfm.models.record_attention import find_blocks, record_attention


def compute_attention_map(network: nn.Module, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, H, W)
    """Compute how much attention the last block pays to each place, averaged over heads; uniform attention is 1."""
    block: Any = find_blocks(network)[-1]
    shapes: list[torch.Size] = []
    hook = block.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    try:
        with torch.no_grad(), record_attention([block.attn]) as recorded:
            compute_feature_map(network, images)
    finally:
        hook.remove()
    (_, height, width, _), (weights,) = shapes[0], recorded
    return resize_to_images(merge_windows(weights, (height, width), block.window_size, block.shift_size), images)


def merge_windows(
    weights: torch.Tensor, grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> torch.Tensor:
    """Add up the attention each place receives from its window: (images × windows, heads, n, n) → (B, *grid).

    Attention to padding is shared among the real places of the window, and attention from padding is ignored. Uniform
    attention is therefore 1 at every place, also at the border.
    """
    down, right = (-(-side // length) for side, length in zip(grid, window, strict=True))
    padded = torch.zeros(down * window[0], right * window[1], device=weights.device)
    padded[: grid[0], : grid[1]] = 1
    real = padded.view(down, window[0], right, window[1]).transpose(1, 2).reshape(down * right, 1, -1)
    attention = weights.mean(1).view(-1, down * right, *weights.shape[2:]) * real  # (B, windows, n, n): from, to
    total = attention.sum(-1, keepdim=True)
    # A place of padding may attend to padding only: its total is 0.
    attention = torch.where((real.mT > 0) & (total > 0), attention / total, 0)
    tiles: torch.Tensor = attention.sum(-2).view(-1, down, right, *window).transpose(2, 3).reshape(-1, *padded.shape)
    return tiles[:, : grid[0], : grid[1]].roll(shift, dims=(1, 2))


def resize_to_images(maps: torch.Tensor, images: torch.Tensor) -> torch.Tensor:  # (B, h, w), (B, 1, H, W) → (B, H, W)
    return functional.interpolate(maps[:, None], images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
