"""How well a predicted mask agrees with the true one: pixel counts per image, and figures from them.
Whether lesions are found at all, and at how many false alarms, is in `froc`. A figure without images is NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of n images for one class."""

    both: np.ndarray  # (n,) in both masks
    predicted: np.ndarray  # (n,)
    true: np.ndarray  # (n,)

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arguments of the figures below, for all images or a selection."""
        return self.both, self.predicted, self.true


def count_overlap(predicted: np.ndarray, true: np.ndarray) -> Overlap:  # (n, H, W) bool each
    masks = (predicted & true, predicted, true)
    return Overlap(*(np.asarray(mask.sum(axis=(1, 2), dtype=np.int64)) for mask in masks))


def compute_dice(both: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    """Average Dice over the images that contain the class; it is undefined for the others."""
    return _average(2 * both, predicted + true, true > 0)


def compute_iou(both: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    return _average(both, predicted + true - both, true > 0)


def compute_area_error(both: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    """Compute the median error of the predicted area as a share of the true one, over the images with the class.

    The median, because a lesion of two pixels may be predicted with two hundred.
    """
    has_class = true > 0
    return float(np.median(np.abs(predicted - true)[has_class] / true[has_class])) if has_class.any() else math.nan


def _average(part: np.ndarray, whole: np.ndarray, has_class: np.ndarray) -> float:
    return float(np.mean(part[has_class] / whole[has_class])) if has_class.any() else math.nan
