"""The baseline without learning: the brightest blob of the breast is the lesion."""

from __future__ import annotations

import cv2
import numpy as np

_BLUR = 0.02  # sigma as a share of the image's longer side; smaller specks are blurred away


def compute_brightness(image: np.ndarray, breast: np.ndarray) -> np.ndarray:
    """Blur the image inside the breast: image (H, W) of integers, breast (H, W) of 0 and 1 → (H, W) in 0..1."""
    grey = image.astype(np.float32) / np.iinfo(image.dtype).max
    blurred: np.ndarray = cv2.GaussianBlur(grey, (0, 0), _BLUR * max(image.shape))
    return np.asarray(blurred * breast)


def grow_blob(bright: np.ndarray, area: int) -> np.ndarray:
    """Grow the component around the brightest pixel to at most `area` pixels by lowering the threshold: (H, W) bool."""
    peak = divmod(int(bright.argmax()), bright.shape[1])
    low, high = 0, bright.size - 1  # of the sorted values: the lower the threshold, the larger the component
    levels = np.sort(bright, axis=None)
    while low < high:
        middle = (low + high) // 2
        if _select_component(bright >= levels[middle], peak).sum() > area:
            low = middle + 1
        else:
            high = middle
    return _select_component(bright >= levels[low], peak)


def _select_component(mask: np.ndarray, peak: tuple[int, int]) -> np.ndarray:
    _, components = cv2.connectedComponents(np.asarray(mask, np.uint8))
    return np.asarray(components == components[peak])
