"""How well a drawn mask agrees with the true one: counts of pixels for each image, and the figures made of them.

Whether lesions were found at all, and how many false alarms that took, stands in froc.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Of n images and one class, in pixels."""

    both: np.ndarray  # (n,) in the drawn mask and in the true one
    drawn: np.ndarray  # (n,)
    true: np.ndarray  # (n,)

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As the figures below take them, whole or of some images."""
        return self.both, self.drawn, self.true


def count_overlap(drawn: np.ndarray, true: np.ndarray) -> Overlap:  # (n, H, W) bool each
    def pixels(inside: np.ndarray) -> np.ndarray:
        return np.asarray(inside.sum(axis=(1, 2), dtype=np.int64))

    return Overlap(pixels(drawn & true), pixels(drawn), pixels(true))


def compute_dice(both: np.ndarray, drawn: np.ndarray, true: np.ndarray) -> float:
    """The mean over the images that show the class: where there is nothing to find, Dice says nothing. NaN without
    such an image, as for all figures here."""
    return _mean(2 * both, drawn + true, true > 0)


def compute_iou(both: np.ndarray, drawn: np.ndarray, true: np.ndarray) -> float:
    return _mean(both, drawn + true - both, true > 0)


def compute_area_error(both: np.ndarray, drawn: np.ndarray, true: np.ndarray) -> float:
    """By which share of the true area the drawn one is too large or too small: the median over the images that show
    the class, since a lesion of two pixels is easily taken for one of two hundred."""
    shown = true > 0
    return float(np.median(np.abs(drawn - true)[shown] / true[shown])) if shown.any() else math.nan


def compute_specificity(both: np.ndarray, drawn: np.ndarray, true: np.ndarray) -> float:
    """The share of the images without the class in which none was drawn."""
    empty = true == 0
    return float(np.mean(drawn[empty] == 0)) if empty.any() else math.nan


def _mean(part: np.ndarray, whole: np.ndarray, shown: np.ndarray) -> float:
    return float(np.mean(part[shown] / whole[shown])) if shown.any() else math.nan
