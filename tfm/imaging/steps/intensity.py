"""Stretch grey values, by default between two percentiles of the breast's pixels, to even out exposure."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Intensity


def apply(mammogram: Mammogram, settings: Intensity) -> Mammogram:
    low, high = 0, int(np.iinfo(mammogram.image.dtype).max)
    if settings.stretch == "maximum":
        high = int(mammogram.image.max())
    elif settings.stretch == "breast":
        mammogram, breast = mammogram.locate_breast()
        mask = breast.render(mammogram.geometry, mammogram.image.shape)
        low, high = _find_percentiles(mammogram.image, mask, settings.low, settings.high)
    return replace(
        mammogram.record_step("intensity", low=low, high=high),
        image=_stretch(mammogram.image, low, high, settings.bits),
    )


def _find_percentiles(image: np.ndarray, mask: np.ndarray, low: float, high: float) -> tuple[int, int]:
    """Return the grey values below which `low` and `high` percent of the masked pixels lie."""
    greys = int(np.iinfo(image.dtype).max) + 1
    counts = cv2.calcHist([image], [0], mask.view(np.uint8), [greys], [0, greys])
    below = np.cumsum(counts, dtype=np.float64)
    values = np.searchsorted(below, np.array([low, high]) / 100 * below[-1])
    return int(values[0]), int(values[1])


def _stretch(image: np.ndarray, low: int, high: int, bits: int) -> np.ndarray:
    kind = np.uint8 if bits == 8 else np.uint16
    # A lookup table: images have far more pixels than possible values. A breast of one grey value becomes black.
    table = np.zeros(np.iinfo(image.dtype).max + 1, kind)
    if high > low:
        table[low : high + 1] = np.rint(np.linspace(0, np.iinfo(kind).max, high - low + 1))
        table[high:] = np.iinfo(kind).max
    return np.asarray(table[image])
