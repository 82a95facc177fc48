"""The FROC curve: which share of the lesions a probability map finds, at how many false alarms per image.
The peaks of a map are its marks. A mark in or very near a lesion finds it; any other is a false alarm. Finding a lesion
again counts as neither."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

MAX_MARKS = 10  # per image
_MIN_DISTANCE = 0.05  # of the longer side: peaks nearer to a higher one belong to it
_TOLERANCE = 0.01  # of the longer side: a mark this near a lesion finds it

Marks = list[tuple[float, int]]  # height of a peak, and the number of the lesion it finds, from 1; 0 for none


def find_marks(heat: np.ndarray, lesions: np.ndarray) -> tuple[Marks, int]:
    """heat (H, W), lesions (H, W) bool, each connected part one lesion → marks, number of lesions."""
    count, parts = cv2.connectedComponents(np.asarray(lesions, np.uint8))
    tolerance = max(1, round(_TOLERANCE * max(heat.shape)))
    marks = [(height, _find_lesion(parts, row, column, tolerance)) for height, row, column in _find_peaks(heat)]
    return marks, count - 1


def _find_peaks(heat: np.ndarray) -> Iterable[tuple[float, int, int]]:
    """Yield height, row and column of the highest local maxima; what is near a higher one belongs to it."""
    rows, columns, heights = _find_local_maxima(heat.astype(np.float32))
    min_distance = max(1, round(_MIN_DISTANCE * max(heat.shape)))
    for _ in range(MAX_MARKS):
        if not heights.size:
            return
        yield float(heights[0]), int(rows[0]), int(columns[0])
        far = (rows - rows[0]) ** 2 + (columns - columns[0]) ** 2 > min_distance**2
        rows, columns, heights = rows[far], columns[far], heights[far]


def _find_local_maxima(heat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and heights (n,) of all local maxima, the highest first.

    A plateau counts as one maximum, at the pixel nearest its centre.
    """
    around = np.ones((3, 3), np.uint8)
    level = (heat > 0) & (heat == cv2.dilate(heat, around))  # no neighbour is higher
    _, parts, _, middles = cv2.connectedComponentsWithStats(level.astype(np.uint8))
    # A plateau on a slope is no maximum: one of its pixels has a higher neighbour.
    slope = level & (heat == cv2.dilate(np.where(level, 0, heat), around))
    rows, columns = np.nonzero(level & ~np.isin(parts, np.unique(parts[slope])))
    part = parts[rows, columns]
    away = (rows - middles[part, 1]) ** 2 + (columns - middles[part, 0]) ** 2
    nearest = np.lexsort((away, part))
    first = nearest[np.flatnonzero(np.diff(part[nearest], prepend=0))]
    highest = first[np.argsort(-heat[rows[first], columns[first]], kind="stable")]
    return rows[highest], columns[highest], heat[rows[highest], columns[highest]]


def _find_lesion(parts: np.ndarray, row: int, column: int, tolerance: int) -> int:
    """Return the number of the nearest lesion within the tolerance, else 0."""
    top, left = max(0, row - tolerance), max(0, column - tolerance)
    around = parts[top : row + tolerance + 1, left : column + tolerance + 1]
    rows, columns = np.nonzero(around)
    distances = (rows + top - row) ** 2 + (columns + left - column) ** 2
    if not distances.size or distances.min() > tolerance**2:
        return 0
    nearest = distances.argmin()
    return int(around[rows[nearest], columns[nearest]])


@dataclass(frozen=True)
class FrocCurve:
    """The marks of n images, highest first, without those that find a lesion again."""

    heights: np.ndarray[Any, Any]  # (m,)
    images: np.ndarray[Any, Any]  # (m,) index of the image
    hits: np.ndarray[Any, Any]  # (m,) bool
    lesions: np.ndarray[Any, Any]  # (n,) number in each image

    @classmethod
    def collect(cls, marked: Iterable[tuple[Marks, int]]) -> FrocCurve:
        """Collect the results of `find_marks`, one per image."""
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

    def compute_sensitivity(self, alarms: float, images: np.ndarray[Any, Any] | None = None) -> float:
        """Compute the share of lesions found with at most this many false alarms per image; NaN without lesions.

        Args:
            images: indices of the images to use, possibly repeated (a bootstrap sample); None uses all.
        """
        count = len(self.lesions)
        times = np.ones(count) if images is None else np.bincount(images, minlength=count)
        lesions = float(times @ self.lesions)
        if not lesions:
            return math.nan
        weights = times[self.images]
        # A threshold includes all marks of one height or none.
        last = np.flatnonzero(np.diff(self.heights, append=-np.inf) < 0)
        false = np.cumsum(weights * ~self.hits)[last]
        found = np.cumsum(weights * self.hits)[last]
        allowed = found[false <= alarms * times.sum()]
        return float(allowed.max(initial=0.0) / lesions)
