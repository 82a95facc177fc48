"""Grey values stretched: by default between two percentiles of the breast's own pixels, so that films of any exposure
compare."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Intensity


def apply(film: Mammogram, settings: Intensity) -> Mammogram:
    low, high = 0, int(np.iinfo(film.image.dtype).max)
    if settings.stretch == "maximum":
        high = int(film.image.max())
    elif settings.stretch == "breast":
        film, breast = film.locate_breast()
        mask = breast.mask(film.geometry, film.image.shape)
        low, high = _percentiles(film.image, mask, settings.low, settings.high)
    return replace(
        film.record_step("intensity", low=low, high=high), image=_stretched(film.image, low, high, settings.bits)
    )


def _percentiles(image: np.ndarray, mask: np.ndarray, low: float, high: float) -> tuple[int, int]:
    """The greys that so many of a hundred pixels do not exceed."""
    greys = int(np.iinfo(image.dtype).max) + 1
    counts = cv2.calcHist([image], [0], mask.view(np.uint8), [greys], [0, greys])
    below = np.cumsum(counts, dtype=np.float64)
    found = np.searchsorted(below, np.array([low, high]) / 100 * below[-1])
    return int(found[0]), int(found[1])


def _stretched(image: np.ndarray, low: int, high: int, bits: int) -> np.ndarray:
    kind = np.uint8 if bits == 8 else np.uint16
    # One look-up for each possible value, and films have far more pixels than values. A breast of one grey has no
    # contrast to stretch; it becomes black.
    table = np.zeros(np.iinfo(image.dtype).max + 1, kind)
    if high > low:
        table[low : high + 1] = np.rint(np.linspace(0, np.iinfo(kind).max, high - low + 1))
        table[high:] = np.iinfo(kind).max
    return np.asarray(table[image])
