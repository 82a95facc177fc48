"""Invert images with a bright background, so that brighter means denser in all steps that follow."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Polarity

_THUMBNAIL_HEIGHT = 128
_MIN_BACKGROUND_SHARE = 0.1  # a bright area smaller than this share of the image is a lesion or a label


def apply(mammogram: Mammogram, settings: Polarity) -> Mammogram:
    is_bright = settings.turn == "always" or is_background_bright(mammogram.image)
    recorded = mammogram.record_step("polarity", turned=is_bright)
    if not is_bright:
        return recorded
    return replace(recorded, image=np.iinfo(mammogram.image.dtype).max - mammogram.image)


def is_background_bright(image: np.ndarray) -> bool:
    """Background has one grey value and tissue many: of the bright and the dark half, the background varies less."""
    height, width = image.shape
    scale = _THUMBNAIL_HEIGHT / height
    size = (max(1, round(width * scale)), _THUMBNAIL_HEIGHT) if scale < 1 else (width, height)
    thumbnail = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    levels = np.asarray(thumbnail * (255.0 / np.iinfo(image.dtype).max), np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    bright, dark = levels[levels > threshold], levels[levels <= threshold]
    if not (bright.size and dark.size):  # one grey value
        return False
    return bright.size >= _MIN_BACKGROUND_SHARE * levels.size and bool(_measure_spread(bright) < _measure_spread(dark))


def _measure_spread(levels: np.ndarray) -> float:
    low, high = np.percentile(levels, [10, 90])
    return float(high - low)
