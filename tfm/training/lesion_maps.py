"""A segmenter's probabilities as maps: one for each class of lesion, and one for any lesion where there are several.
How far each agrees with the truth is counted here at every threshold; what figures are made of that, in metrics."""

from __future__ import annotations

import numpy as np
import torch

from tfm.data.dataset.lesion_classes import ClassSet
from tfm.metrics.segmentation import Overlap, compute_dice

ANY = "any lesion"
THRESHOLDS = np.arange(1, 20) / 20
_BOTH, _DRAWN = slice(0, len(THRESHOLDS)), slice(len(THRESHOLDS), 2 * len(THRESHOLDS))
TALLY = 2 * len(THRESHOLDS) + 1  # numbers: pixels in both and pixels drawn, at each threshold; pixels that are true


def map_names(classes: ClassSet) -> tuple[str, ...]:
    lesions = classes.names[1:]
    return lesions if len(lesions) == 1 else (*lesions, ANY)


def maps_of(probs: torch.Tensor) -> torch.Tensor:  # (B, classes, H, W) → (B, maps, H, W)
    lesions = probs[:, 1:]
    return lesions if lesions.shape[1] == 1 else torch.cat([lesions, 1 - probs[:, :1]], dim=1)


def truths_of(lesions: torch.Tensor, classes: ClassSet) -> torch.Tensor:
    """lesions (B, 1, H, W) uint8, as in the cache → (B, maps, H, W) bool."""
    told = classes_of(lesions, classes)
    each = torch.cat([told == number for number in range(1, len(classes.names))], dim=1)
    return each if each.shape[1] == 1 else torch.cat([each, told > 0], dim=1)


def classes_of(lesions: torch.Tensor, classes: ClassSet) -> torch.Tensor:  # pixel values of masks → classes, uint8
    table = torch.tensor(classes.of_mask, dtype=torch.uint8, device=lesions.device)
    return table[lesions.long()]


def tally(maps: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:  # (B, maps, H, W) each → (B, maps, TALLY)
    both, drawn = [], []
    for threshold in THRESHOLDS.tolist():
        mask = maps >= threshold
        both.append((mask & truths).sum((2, 3)))
        drawn.append(mask.sum((2, 3)))
    return torch.stack([*both, *drawn, truths.sum((2, 3))], dim=2).float()


def overlap_at(tallies: np.ndarray, threshold: float) -> Overlap:
    """tallies (n, TALLY) of one map."""
    at = int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])
    both, drawn, true = tallies[:, _BOTH][:, at], tallies[:, _DRAWN][:, at], tallies[:, -1]
    return Overlap(both.astype(int), drawn.astype(int), true.astype(int))


def best_threshold(tallies: np.ndarray) -> tuple[float, float]:
    """The threshold of the best mean Dice, of equals the lowest, and that Dice. Where no image shows the class: one
    half, and NaN."""
    if not tallies[:, -1].any():
        return 0.5, float("nan")
    found = [compute_dice(*overlap_at(tallies, threshold).columns) for threshold in THRESHOLDS]
    best = int(np.argmax(found))
    return float(THRESHOLDS[best]), found[best]
