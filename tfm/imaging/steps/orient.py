"""The chest wall comes to the left. Told by pixels: a file's laterality is missing or wrong in some."""

from __future__ import annotations

from dataclasses import replace

import cv2

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Orient


def apply(film: Mammogram, settings: Orient) -> Mammogram:
    film, breast = film.locate_breast()
    flipped = breast.is_chest_wall_right(film.geometry)
    noted = film.record_step("orient", flipped=flipped)
    if not flipped:
        return noted
    geometry = film.geometry.mirror(film.image.shape[1])
    return replace(noted, image=cv2.flip(film.image, 1), geometry=geometry)
