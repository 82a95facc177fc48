"""How well a saliency map agrees with breast and lesion, and a naive map to compare with.
Maps are (H, W) and non-negative; a figure that is undefined is NaN. How maps are made is in `tfm.analysis`."""

from __future__ import annotations

import numpy as np


def measure_share_outside(heat: np.ndarray, breast: np.ndarray) -> float:  # (H, W), (H, W) bool
    """Measure the share of the map's sum outside the breast."""
    return _measure_share(heat, ~breast)


def measure_share_inside(heat: np.ndarray, lesion: np.ndarray) -> float:  # (H, W), (H, W) bool
    """Measure the share of the map's sum inside the lesion."""
    return _measure_share(heat, lesion) if lesion.any() else float("nan")


def score_pointing_game(heat: np.ndarray, lesion: np.ndarray) -> float:  # (H, W), (H, W) bool
    """Pointing game: 1 if the map's maximum is in the lesion, else 0; of several maxima, the share in the lesion.

    NaN for a constant map.
    """
    if not lesion.any() or heat.max() <= heat.min():
        return float("nan")
    return float(lesion[heat == heat.max()].mean())


def _measure_share(heat: np.ndarray, inside: np.ndarray) -> float:
    total = heat.sum(dtype=np.float64)
    return float(heat[inside].sum(dtype=np.float64) / total) if total > 0 else float("nan")


def make_centre_map(shape: tuple[int, ...]) -> np.ndarray:  # (H, W) float64
    """Build a map that falls linearly from 1 at the image's centre to 0 in its corners."""
    down, right = np.indices(shape)
    distance = np.hypot(down - (shape[0] - 1) / 2, right - (shape[1] - 1) / 2)
    return np.asarray(1 - distance / distance.max())
