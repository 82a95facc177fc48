"""A segmenter's probability maps: one for each lesion class, and one for any lesion where there are several classes.

Their overlap with the true masks is counted here at every threshold; metrics makes Dice and IoU of it.
"""

from __future__ import annotations

import numpy as np
import torch

from tfm.data.dataset.lesion_classes import ClassSet
from tfm.metrics.segmentation import Overlap, compute_dice

ANY = "any lesion"
THRESHOLDS = np.arange(1, 20) / 20
_BOTH, _PREDICTED = slice(0, len(THRESHOLDS)), slice(len(THRESHOLDS), 2 * len(THRESHOLDS))
COUNTS_PER_MAP = 2 * len(THRESHOLDS) + 1  # at each threshold pixels in both and predicted pixels; then true pixels


def get_map_names(classes: ClassSet) -> tuple[str, ...]:
    lesions = classes.names[1:]
    return lesions if len(lesions) == 1 else (*lesions, ANY)


def make_maps(probs: torch.Tensor) -> torch.Tensor:  # (B, classes, H, W) → (B, maps, H, W)
    lesions = probs[:, 1:]
    return lesions if lesions.shape[1] == 1 else torch.cat([lesions, 1 - probs[:, :1]], dim=1)


def make_truth_maps(lesions: torch.Tensor, classes: ClassSet) -> torch.Tensor:
    """lesions (B, 1, H, W) uint8, as in the cache → (B, maps, H, W) bool."""
    numbers = map_mask_classes(lesions, classes)
    each = torch.cat([numbers == number for number in range(1, len(classes.names))], dim=1)
    return each if each.shape[1] == 1 else torch.cat([each, numbers > 0], dim=1)


def map_mask_classes(lesions: torch.Tensor, classes: ClassSet) -> torch.Tensor:  # pixel values → classes, uint8
    table = torch.tensor(classes.of_mask, dtype=torch.uint8, device=lesions.device)
    return table[lesions.long()]


def count_at_thresholds(maps: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """(B, maps, H, W) each → (B, maps, COUNTS_PER_MAP)."""
    both, predicted = [], []
    for threshold in THRESHOLDS.tolist():
        mask = maps >= threshold
        both.append((mask & truths).sum((2, 3)))
        predicted.append(mask.sum((2, 3)))
    return torch.stack([*both, *predicted, truths.sum((2, 3))], dim=2).float()


def get_overlap_at(counts: np.ndarray, threshold: float) -> Overlap:
    """counts (n, COUNTS_PER_MAP) of one map."""
    at = int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])
    both, predicted, true = counts[:, _BOTH][:, at], counts[:, _PREDICTED][:, at], counts[:, -1]
    return Overlap(both.astype(int), predicted.astype(int), true.astype(int))


def find_best_threshold(counts: np.ndarray) -> tuple[float, float]:
    """The threshold with the best mean Dice, the lowest of equals, and that Dice; 0.5 and NaN without any lesion."""
    if not counts[:, -1].any():
        return 0.5, float("nan")
    dices = [compute_dice(*get_overlap_at(counts, threshold).columns) for threshold in THRESHOLDS]
    best = int(np.argmax(dices))
    return float(THRESHOLDS[best]), dices[best]
