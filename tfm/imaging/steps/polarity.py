"""Black on white becomes white on black: brighter is denser in every image after this."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Polarity

_LOOK_HEIGHT = 128
_LEAST_FILM = 0.1  # of an image: less than this is a lesion or a label, and no film


def apply(film: Mammogram, settings: Polarity) -> Mammogram:
    turned = settings.turn == "always" or _film_is_bright(film.image)
    noted = film.record_step("polarity", turned=turned)
    return replace(noted, image=np.iinfo(film.image.dtype).max - film.image) if turned else noted


def _film_is_bright(image: np.ndarray) -> bool:
    """Film without anything on it is all one grey, tissue is of many: told by which half of the greys, the bright or
    the dark one, differs less within itself."""
    height, width = image.shape
    scale = _LOOK_HEIGHT / height
    size = (max(1, round(width * scale)), _LOOK_HEIGHT) if scale < 1 else (width, height)
    look = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    levels = np.asarray(look * (255.0 / np.iinfo(image.dtype).max), np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    bright, dark = levels[levels > threshold], levels[levels <= threshold]
    return bright.size >= _LEAST_FILM * levels.size and bool(_spread(bright) < _spread(dark))


def _spread(levels: np.ndarray) -> float:
    low, high = np.percentile(levels, [10, 90])
    return float(high - low)
