"""Which lesions a map of probabilities finds, and how many false alarms an image that takes: the FROC curve.

A map's peaks are its marks; the shoulders of a peak are not. A mark in a lesion, or nearly, finds it; any other is a
false alarm, and finding a lesion twice is neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

MAX_MARKS = 10  # of an image at most
_APART = 0.05  # of the image's longer side: peaks nearer to a higher one are part of it
_NEARLY = 0.01  # of the longer side: a mark that misses a lesion by no more finds it

Marks = list[tuple[float, int]]  # a peak's height, and the number of the lesion it finds from 1 on; 0 for none


def find_marks(heat: np.ndarray, lesions: np.ndarray) -> tuple[Marks, int]:
    """heat (H, W), lesions (H, W) bool, each connected part one lesion → the marks and how many lesions there are."""
    count, parts = cv2.connectedComponents(np.asarray(lesions, np.uint8))
    nearly = max(1, round(_NEARLY * max(heat.shape)))
    return [(height, _found(parts, row, column, nearly)) for height, row, column in _peaks(heat)], count - 1


def _peaks(heat: np.ndarray) -> Iterable[tuple[float, int, int]]:
    """Height, row and column of the highest places that nothing around them tops, whatever their size: one mark each,
    at the pixel nearest their middle. What is near a higher one is part of it."""
    rows, columns, heights = _tops(heat.astype(np.float32))
    apart = max(1, round(_APART * max(heat.shape)))
    for _ in range(MAX_MARKS):
        if not heights.size:
            return
        yield float(heights[0]), int(rows[0]), int(columns[0])
        far = (rows - rows[0]) ** 2 + (columns - columns[0]) ** 2 > apart**2
        rows, columns, heights = rows[far], columns[far], heights[far]


def _tops(heat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and heights (n,) of all local maxima, the highest first."""
    around = np.ones((3, 3), np.uint8)
    level = (heat > 0) & (heat == cv2.dilate(heat, around))  # no neighbour is higher
    _, parts, _, middles = cv2.connectedComponentsWithStats(level.astype(np.uint8))
    # A shelf on a slope has a neighbour of its own height that has a higher one.
    shelf = level & (heat == cv2.dilate(np.where(level, 0, heat), around))
    rows, columns = np.nonzero(level & ~np.isin(parts, np.unique(parts[shelf])))
    part = parts[rows, columns]
    away = (rows - middles[part, 1]) ** 2 + (columns - middles[part, 0]) ** 2
    nearest = np.lexsort((away, part))
    first = nearest[np.flatnonzero(np.diff(part[nearest], prepend=0))]
    highest = first[np.argsort(-heat[rows[first], columns[first]], kind="stable")]
    return rows[highest], columns[highest], heat[rows[highest], columns[highest]]


def _found(parts: np.ndarray, row: int, column: int, nearly: int) -> int:
    """The nearest lesion within reach."""
    top, left = max(0, row - nearly), max(0, column - nearly)
    around = parts[top : row + nearly + 1, left : column + nearly + 1]
    rows, columns = np.nonzero(around)
    distances = (rows + top - row) ** 2 + (columns + left - column) ** 2
    if not distances.size or distances.min() > nearly**2:
        return 0
    nearest = distances.argmin()
    return int(around[rows[nearest], columns[nearest]])


@dataclass(frozen=True)
class FrocCurve:
    """The marks of n images, highest first; those that find a lesion again are left out."""

    heights: np.ndarray[Any, Any]  # (m,)
    images: np.ndarray[Any, Any]  # (m,) number of the image
    hits: np.ndarray[Any, Any]  # (m,) bool
    lesions: np.ndarray[Any, Any]  # (n,) in each image

    @classmethod
    def of(cls, marked: Iterable[tuple[Marks, int]]) -> FrocCurve:
        """What `marks` says of each image."""
        rows, lesions = [], []
        for image, (found, count) in enumerate(marked):
            known: set[int] = set()
            for height, lesion in found:
                if lesion not in known:
                    rows.append((-height, image, lesion > 0))
                known |= {lesion} - {0}
            lesions.append(count)
        heights, images, hits = np.array(sorted(rows)).reshape(-1, 3).T
        return cls(-heights, images.astype(int), hits.astype(bool), np.array(lesions, dtype=int))

    def sensitivity(self, alarms: float, images: np.ndarray[Any, Any] | None = None) -> float:
        """The share of all lesions that is found with at most so many false alarms an image, over all images or over
        some, which may be taken several times. NaN where there is no lesion."""
        count = len(self.lesions)
        times = np.ones(count) if images is None else np.bincount(images, minlength=count)
        lesions = float(times @ self.lesions)
        if not lesions:
            return math.nan
        weights = times[self.images]
        # A threshold takes all marks of one height or none.
        last = np.flatnonzero(np.diff(self.heights, append=-np.inf) < 0)
        false = np.cumsum(weights * ~self.hits)[last]
        found = np.cumsum(weights * self.hits)[last]
        allowed = found[false <= alarms * times.sum()]
        return float(allowed.max(initial=0.0) / lesions)
