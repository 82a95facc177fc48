"""Occlusion maps: how far the logit falls when a part of the breast is covered. They need no gradient and no feature
map, so they check Grad-CAM by other means. Each takes many passes through the network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch

PATCHES = 8  # patches side by side in a square image
_PASSES = 16  # images at once


def count_passes(breast: torch.Tensor) -> int:
    """Count the images that `compute_occlusion_map` sends through the network: the whole one and each covered one."""
    return 1 + len(_list_windows(_find_inside(breast)))


def _find_inside(breast: torch.Tensor) -> torch.Tensor:
    return breast if bool(breast.any()) else torch.ones_like(breast)


def _list_windows(inside: torch.Tensor) -> list[tuple[slice, slice]]:
    height, width = inside.shape
    side = max(round(math.sqrt(height * width) / PATCHES), 2)
    # From half a patch before each edge, so that every place is covered equally often.
    starts = [range(-(side // 2), length, side // 2) for length in (height, width)]
    windows = [
        (slice(max(top, 0), top + side), slice(max(left, 0), left + side)) for top, left in itertools.product(*starts)
    ]
    return [window for window in windows if bool(inside[window].any())]


def compute_occlusion_map(
    compute_logits: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, breast: torch.Tensor
) -> np.ndarray:
    """Compute the evidence for malignant (H, W): above zero where covering a place lowers the logit.

    A square patch moves by half its side. What it covers of the breast becomes the mean grey of the training images.

    Args:
        compute_logits: maps images (B, 1, H, W) to the network's logits (B, 1).
        image: (1, 1, H, W), normalised, so that 0 is the mean grey.
        breast: (H, W) bool. If it is empty, the whole image is covered part by part.
    """
    height, width = image.shape[-2:]
    inside = _find_inside(breast)
    windows = _list_windows(inside)
    total, count = (torch.zeros(height, width, device=image.device) for _ in range(2))
    with torch.inference_mode():
        whole = compute_logits(image)[0, 0].float()
        for start in range(0, len(windows), _PASSES):
            block = windows[start : start + _PASSES]
            covered = image.repeat(len(block), 1, 1, 1)
            for one, window in zip(covered, block, strict=True):
                one[0][window] = torch.where(inside[window], 0.0, one[0][window])
            for logit, window in zip(compute_logits(covered)[:, 0].float(), block, strict=True):
                total[window] += whole - logit
                count[window] += 1
    return (total / count.clamp(min=1) * inside).cpu().numpy()
