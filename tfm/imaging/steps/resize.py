"""One size for all, proportions kept: scaled by area to fit, flush with the left edge, centred in height."""

from __future__ import annotations

import cv2
import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import Resize


def apply(film: Film, settings: Resize) -> Film:
    height, width = film.image.shape
    scale = min(settings.height / height, settings.width / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top = (settings.height - inner[0]) // 2

    def placed(pixels: np.ndarray) -> np.ndarray:
        whole = np.zeros((settings.height, settings.width), pixels.dtype)
        whole[top : top + inner[0], : inner[1]] = pixels
        return whole

    record = {**film.record, "resize": {"scale": scale, "top": top, "height": inner[0], "width": inner[1]}}
    return Film(
        image=placed(_scaled(film.image, inner)),
        breast=placed(_scaled(film.breast.view(np.uint8), inner, cv2.INTER_NEAREST_EXACT) > 0),
        lesions=placed(_scaled_lesions(film.lesions, inner)),
        record=record,
    )


def _scaled(pixels: np.ndarray, size: tuple[int, int], interpolation: int | None = None) -> np.ndarray:
    shrinks = size[0] < pixels.shape[0]
    return cv2.resize(
        pixels, size[::-1], interpolation=interpolation or (cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    )


def _scaled_lesions(lesions: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A pixel belongs to a class that covers half of it. A calcification smaller than that would vanish from the
    truth, so each class keeps at least the pixel it covers most."""
    scaled = np.zeros(size, np.uint8)
    for lesion_class in np.unique(lesions[lesions > 0]):
        share = _scaled((lesions == lesion_class).astype(np.float32), size)
        scaled[share >= min(0.5, share.max())] = lesion_class
    return scaled
