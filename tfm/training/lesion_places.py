"""The places of a feature map that lesion masks tell the class of: as targets of a loss, and drawn for a regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from tfm.core.randomness import generator_at
from tfm.data.dataset.lesion_classes import MALIGNANCY_OF_MASK
from tfm.models.lesion_guided import MALIGNANT, PLACE_CLASSES

LESION_PLACES, BACKGROUND_PLACES = 16, 12  # drawn at most, in one image
PLACES = LESION_PLACES + BACKGROUND_PLACES
UNUSED = -1  # in place of a class
_LESION_SHARE = 0.5  # of a place's pixels: from here on a place shows a lesion


def compute_class_shares(lesions: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Compute the share of each class in each place: masks (B, 1, H, W) uint8 → (B, PLACE_CLASSES, *size)."""
    classes = torch.arange(len(PLACE_CLASSES), device=lesions.device)[:, None, None]
    return functional.interpolate((_find_classes(lesions) == classes).float(), tuple(size), mode="area")


def is_malignant(lesions: torch.Tensor) -> torch.Tensor:  # masks uint8 → bool
    return _find_classes(lesions) == MALIGNANT


def _find_classes(lesions: torch.Tensor) -> torch.Tensor:
    return torch.tensor(MALIGNANCY_OF_MASK, device=lesions.device)[lesions.long()]


def compute_mask_losses(places: torch.Tensor, lesions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compare logits (B, PLACE_CLASSES, h, w) with masks (B, 1, H, W): return each image's loss (B,), and whether it
    shows a lesion (B,) bool.

    Lesions and background weigh the same, however small the lesions are. Without a lesion the loss is zero: its mask
    may be missing.
    """
    shares = compute_class_shares(lesions, places.shape[-2:])
    losses = (-shares * places.log_softmax(1)).sum((2, 3))  # (B, PLACE_CLASSES)
    totals = shares.sum((2, 3))
    lesion, background = (
        losses[:, part].sum(1) / totals[:, part].sum(1).clamp_min(torch.finfo().eps)
        for part in (slice(1, None), slice(0, 1))
    )
    shown = totals[:, 1:].sum(1) > 0
    return (lesion + background) / 2 * shown, shown


def draw_places(shares: np.ndarray, image_ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw lesion and background places of each image from its class shares (B, PLACE_CLASSES, h, w).

    Returns:
        Positions in the flattened map, and the classes there, both (B, PLACES). Where there
        are fewer, the class is UNUSED. An image without a lesion has none: its mask may be missing.
    """
    positions, classes = np.zeros((len(shares), PLACES), np.int64), np.full((len(shares), PLACES), UNUSED)
    for row, (share, image_id) in enumerate(zip(shares.reshape(*shares.shape[:2], -1), image_ids, strict=True)):
        lesion = share[1:].sum(0)
        if not lesion.any():
            continue
        order = generator_at(seed, "places", image_id).permutation(len(lesion))
        shown = order[lesion[order] >= min(_LESION_SHARE, lesion.max())][:LESION_PLACES]
        empty = order[lesion[order] == 0][:BACKGROUND_PLACES]
        chosen = np.concatenate([shown, empty])
        positions[row, : len(chosen)] = chosen
        classes[row, : len(chosen)] = np.concatenate([1 + share[1:, shown].argmax(0), np.zeros(len(empty), np.int64)])
    return positions, classes
