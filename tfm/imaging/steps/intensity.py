"""Grey values stretched between two percentiles of the breast's own pixels, so that films of any exposure compare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import Intensity


def apply(film: Film, settings: Intensity) -> Film:
    low, high = np.percentile(film.image[film.breast], [settings.low, settings.high])
    record = {**film.record, "intensity": {"low": float(low), "high": float(high)}}
    kind = np.uint8 if settings.bits == 8 else np.uint16
    white = np.iinfo(kind).max
    # A breast of one grey has no contrast to stretch; it stays black instead of dividing by zero.
    slope = white / (high - low) if high > low else 0.0
    # One look-up for each possible value, and films have far more pixels than values.
    values = np.arange(np.iinfo(film.image.dtype).max + 1, dtype=np.float64)
    table = np.round(np.clip((values - low) * slope, 0, white)).astype(kind)
    return replace(film, image=table[film.image], record=record)
