"""The baseline that has learned nothing: the brightest blob of a breast is its lesion."""

from __future__ import annotations

import cv2
import numpy as np

_BLUR = 0.02  # of the image's longer side: smaller specks are no blob


def compute_brightness(image: np.ndarray, breast: np.ndarray) -> np.ndarray:
    """image (H, W) of whole numbers, breast (H, W) 0 or 1 → how bright each place's surroundings are, 0..1."""
    grey = image.astype(np.float32) / np.iinfo(image.dtype).max
    blurred: np.ndarray = cv2.GaussianBlur(grey, (0, 0), _BLUR * max(image.shape))
    return np.asarray(blurred * breast)


def grow_blob(bright: np.ndarray, area: int) -> np.ndarray:
    """(H, W) bool: the part around the brightest place that has grown to `area` pixels as brightness is let fall."""
    peak = divmod(int(bright.argmax()), bright.shape[1])
    low, high = 0, bright.size - 1  # of the sorted values: the lower, the larger the part
    levels = np.sort(bright, axis=None)
    while low < high:
        middle = (low + high) // 2
        if _around(bright >= levels[middle], peak).sum() > area:
            low = middle + 1
        else:
            high = middle
    return _around(bright >= levels[low], peak)


def _around(mask: np.ndarray, peak: tuple[int, int]) -> np.ndarray:
    _, parts = cv2.connectedComponents(np.asarray(mask, np.uint8))
    return np.asarray(parts == parts[peak])
