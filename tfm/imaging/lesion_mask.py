"""Lesions as a prepared image shows them: looked up in the film's lesion mask once, at the end of a chain."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from tfm.imaging.geometry import Geometry, Shape, compute_coverage


def project_lesions(lesions: np.ndarray, film: Shape, at: Geometry, shape: Shape) -> np.ndarray:
    """lesions (h, w) uint8, 0 or a lesion's class, drawn over a film of shape `film`, at whatever size → (H, W) uint8.

    A pixel belongs to a class that covers half of it. A lesion smaller than that would vanish from the truth, so each
    one keeps a pixel of its own: of those that no other one needs, the one it covers most. Those that touch the fewest
    choose first, of equals the higher class; where lesions crowd in fewer pixels than they are, some are lost."""
    seen = np.zeros(shape, np.uint8)
    touched: list[tuple[int, np.ndarray]] = []  # a lesion's class and its pixels (n, 2), the most covered first
    whole = Geometry().scale(film[0] / lesions.shape[0], film[1] / lesions.shape[1])
    for lesion_class, top, left, inside in _each(lesions):
        rows, columns, shares = compute_coverage(inside, whole.shift(top, left), at, shape)
        seen[rows, columns][shares >= 0.5] = lesion_class
        places = np.argwhere(shares > 0)
        order = np.argsort(-shares[tuple(places.T)], kind="stable")
        touched.append((lesion_class, places[order] + (rows.start, columns.start)))
    kept = np.zeros(shape, bool)
    for lesion_class, places in sorted(touched, key=lambda one: (len(one[1]), -one[0])):
        for place in map(tuple, places[~kept[tuple(places.T)]][:1]):
            kept[place], seen[place] = True, lesion_class
    return seen


def count_subpixel_lesions(lesions: np.ndarray, film: Shape, at: Geometry) -> int:
    """How many lesions cover less than one pixel of the image that lies there, whatever of them it shows."""
    pixel = at.down * abs(at.right) * lesions.size / (film[0] * film[1])
    return sum(int(inside.sum()) < pixel for *_, inside in _each(lesions))


def _each(lesions: np.ndarray) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Class, first row, first column and pixels of each connected lesion."""
    left, top, width, height = cv2.boundingRect(lesions)
    within = lesions[top : top + height, left : left + width]
    for lesion_class in np.unique(within[within > 0]):
        count, part, boxes, _ = cv2.connectedComponentsWithStats(np.asarray(within == lesion_class, np.uint8))
        for number in range(1, count):
            x, y, across, down = boxes[number][:4]
            inside = part[y : y + down, x : x + across] == number
            yield int(lesion_class), top + int(y), left + int(x), inside
