"""Stretch grey values, by default between two percentiles of the breast's pixels, to even out exposure.
The few pixels above the higher percentile keep their differences: bright lesions are among them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Intensity

HIGHLIGHT_SHARE = 0.05  # of the grey values, for the pixels above the higher percentile


def apply(mammogram: Mammogram, settings: Intensity) -> Mammogram:
    low, high = 0, int(np.iinfo(mammogram.image.dtype).max)
    if settings.stretch == "maximum":
        high = int(mammogram.image.max())
    brightest = high
    if settings.stretch == "breast":
        mammogram, breast = mammogram.locate_breast()
        mask = breast.render(mammogram.geometry, mammogram.image.shape)
        low, high, brightest = _find_percentiles(mammogram.image, mask, settings.low, settings.high, 100)
    return replace(
        mammogram.record_step("intensity", low=low, high=high, brightest=brightest),
        image=_stretch(mammogram.image, low, high, brightest, settings.bits),
    )


def _find_percentiles(image: np.ndarray, mask: np.ndarray, *percents: float) -> tuple[int, ...]:
    """Return the grey values below which these percentages of the masked pixels lie."""
    greys = int(np.iinfo(image.dtype).max) + 1
    counts = cv2.calcHist([image], [0], mask.view(np.uint8), [greys], [0, greys])
    below = np.cumsum(counts, dtype=np.float64)
    return tuple(np.searchsorted(below, np.array(percents) / 100 * below[-1]).tolist())


def _stretch(image: np.ndarray, low: int, high: int, brightest: int, bits: int) -> np.ndarray:
    """Map `low` to black and `brightest` to white. Above `high`, the values are compressed, but still differ."""
    kind = np.uint8 if bits == 8 else np.uint16
    white = np.iinfo(kind).max
    # A lookup table: images have far more pixels than possible values. A breast of one grey value becomes black.
    table = np.zeros(np.iinfo(image.dtype).max + 1, kind)
    if high > low:
        # If the brightest pixels are not that much brighter, nothing is compressed.
        even = (high - low) / (brightest - low)
        levels = np.interp(
            np.arange(low, brightest + 1), [low, high, brightest], [0, max(even, 1 - HIGHLIGHT_SHARE), 1]
        )
        table[low : brightest + 1] = np.rint(white * levels)
        table[brightest:] = white
    return np.asarray(table[image])
