"""Mild random changes to a training batch: drawn by address as one table an epoch, made on the batch's own device."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from tfm.core.randomness import generator_at

DEGREES = 15.0
SHIFT = 0.06  # of the side
ZOOM = 0.1
BRIGHTNESS = 0.15
COLUMNS = 7  # turn, shift right, shift down, zoom, mirror, upside down, brightness


def draw(seed: int, epoch: int, count: int) -> np.ndarray:
    """(count, COLUMNS) float32 in -1..1: row i belongs to image i, whatever batch it comes in."""
    return generator_at(seed, "augment", epoch).uniform(-1, 1, size=(count, COLUMNS)).astype(np.float32)


def apply(images: torch.Tensor, drawn: np.ndarray) -> torch.Tensor:
    """Images (B, 1, H, W) in 0..1, black around the film; `drawn` (B, COLUMNS)."""
    amount = torch.from_numpy(drawn).to(images.device)
    grid = functional.affine_grid(_affine(amount, images.shape[-1] / images.shape[-2]), list(images.shape), False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    brightness = 1 + BRIGHTNESS * amount[:, 6]
    return (moved * brightness[:, None, None, None]).clamp(0, 1)


def _affine(amount: torch.Tensor, aspect: float) -> torch.Tensor:
    """(B, 2, 3): from a pixel of the result to where it is taken from, both in -1..1; `aspect` is width / height."""
    angle = amount[:, 0] * math.radians(DEGREES)
    zoom = 1 + ZOOM * amount[:, 3]
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    mirror, upside_down = torch.sign(amount[:, 4]), torch.sign(amount[:, 5])
    across = torch.stack([cosine * mirror, -sine * upside_down / aspect, SHIFT * 2 * amount[:, 1]], dim=1)
    down = torch.stack([sine * mirror * aspect, cosine * upside_down, SHIFT * 2 * amount[:, 2]], dim=1)
    return torch.stack([across, down], dim=1)
