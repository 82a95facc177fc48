"""How well a map of where a network looks fits what is known: breast and lesion; and what naive maps would reach.

A map is (H, W), at least zero everywhere; nan where a figure is not defined. Where maps come from is not known here.
"""

from __future__ import annotations

import numpy as np


def measure_share_outside(heat: np.ndarray, breast: np.ndarray) -> float:  # (H, W), (H, W) bool
    """Of all that is looked at, the part outside the breast."""
    return _share(heat, ~breast)


def measure_share_inside(heat: np.ndarray, lesion: np.ndarray) -> float:  # (H, W), (H, W) bool
    """Of all that is looked at, the part in the lesion."""
    return _share(heat, lesion) if lesion.any() else float("nan")


def score_pointing_game(heat: np.ndarray, lesion: np.ndarray) -> float:  # (H, W), (H, W) bool
    """The pointing game: whether the highest place lies in the lesion; of several equally high, the part that does. A
    map that is the same everywhere points nowhere."""
    if not lesion.any() or heat.max() <= heat.min():
        return float("nan")
    return float(lesion[heat == heat.max()].mean())


def _share(heat: np.ndarray, inside: np.ndarray) -> float:
    total = heat.sum(dtype=np.float64)
    return float(heat[inside].sum(dtype=np.float64) / total) if total > 0 else float("nan")


def make_centre_map(shape: tuple[int, ...]) -> np.ndarray:  # (H, W) float64
    """A look at the middle of the image, fading evenly to nothing in its corners."""
    down, right = np.indices(shape)
    far = np.hypot(down - (shape[0] - 1) / 2, right - (shape[1] - 1) / 2)
    return np.asarray(1 - far / far.max())
