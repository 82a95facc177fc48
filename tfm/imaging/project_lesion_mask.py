"""Project a mammogram's lesion mask onto a preprocessed image, once, at the end of the chain."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from tfm.imaging.geometry import Geometry, Shape, compute_coverage, compute_visible_share


def project_lesions(lesions: np.ndarray, mammogram_shape: Shape, geometry: Geometry, shape: Shape) -> np.ndarray:
    """Project a lesion mask (h, w) uint8, 0 or a lesion's class, of any resolution → (H, W) uint8.

    A pixel belongs to the class that covers at least half of it. A lesion smaller than a pixel would vanish, so each
    lesion keeps one pixel of its own: the one it covers most among those no other lesion needs. Lesions that touch the
    fewest pixels choose first; at a tie, the higher class. If more lesions than pixels crowd together, some are lost.
    """
    projected = np.zeros(shape, np.uint8)
    touched: list[tuple[int, np.ndarray]] = []  # a lesion's class and its pixels (n, 2), the most covered first
    whole = Geometry().scale(mammogram_shape[0] / lesions.shape[0], mammogram_shape[1] / lesions.shape[1])
    for lesion_class, top, left, inside in _iterate_lesions(lesions):
        rows, columns, shares = compute_coverage(inside, whole.shift(top, left), geometry, shape)
        projected[rows, columns][shares >= 0.5] = lesion_class
        places = np.argwhere(shares > 0)
        order = np.argsort(-shares[tuple(places.T)], kind="stable")
        touched.append((lesion_class, places[order] + (rows.start, columns.start)))
    reserved = np.zeros(shape, bool)
    for lesion_class, places in sorted(touched, key=lambda one: (len(one[1]), -one[0])):
        for place in map(tuple, places[~reserved[tuple(places.T)]][:1]):
            reserved[place], projected[place] = True, lesion_class
    return projected


def measure_visible_share(lesions: np.ndarray, mammogram_shape: Shape, geometry: Geometry, shape: Shape) -> float:
    """Measure which share of the lesions' area lies in the image; 0 without lesions.

    Pixels of a projected mask cannot tell: where they are large, rounding takes a part of every lesion.
    """
    left, top, width, height = cv2.boundingRect(lesions)
    if not width:
        return 0.0
    inside = lesions[top : top + height, left : left + width] > 0
    whole = Geometry().scale(mammogram_shape[0] / lesions.shape[0], mammogram_shape[1] / lesions.shape[1])
    return compute_visible_share(inside, whole.shift(top, left), geometry, shape)


def count_subpixel_lesions(lesions: np.ndarray, mammogram_shape: Shape, geometry: Geometry) -> int:
    """Count the lesions that are smaller than one pixel of the image, whether visible in it or not."""
    pixel_area = geometry.down * abs(geometry.right) * lesions.size / (mammogram_shape[0] * mammogram_shape[1])
    return sum(int(inside.sum()) < pixel_area for *_, inside in _iterate_lesions(lesions))


def _iterate_lesions(lesions: np.ndarray) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Yield class, first row, first column and pixels of each connected lesion."""
    left, top, width, height = cv2.boundingRect(lesions)
    box = lesions[top : top + height, left : left + width]
    for lesion_class in np.unique(box[box > 0]):
        count, parts, boxes, _ = cv2.connectedComponentsWithStats(np.asarray(box == lesion_class, np.uint8))
        for number in range(1, count):
            x, y, across, down = boxes[number][:4]
            inside = parts[y : y + down, x : x + across] == number
            yield int(lesion_class), top + int(y), left + int(x), inside
