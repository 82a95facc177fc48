"""The chest wall comes to the left. Told by pixels: a file's laterality is missing or wrong in some."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import Orient


def apply(film: Film, settings: Orient) -> Film:
    flipped = _chest_wall_is_right(film.breast)
    record = {**film.record, "orient": {"flipped": flipped}}
    if not flipped:
        return replace(film, record=record)
    return Film(
        _mirrored(film.image), _mirrored(film.breast.view(np.uint8)).view(bool), _mirrored(film.lesions), record
    )


def _chest_wall_is_right(breast: np.ndarray) -> bool:
    """The breast is broad at the chest wall and narrow at the nipple: its mass lies on the chest wall's side."""
    columns = np.flatnonzero(breast.any(axis=0))
    column_heights = breast.sum(axis=0)
    middle_of_mass = np.average(np.arange(breast.shape[1]), weights=column_heights)
    return bool(middle_of_mass > (columns[0] + columns[-1]) / 2)


def _mirrored(pixels: np.ndarray) -> np.ndarray:
    return cv2.flip(pixels, 1)
