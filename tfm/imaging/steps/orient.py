"""The chest wall comes to the left. Told by pixels: a file's laterality is missing or wrong in some."""

from __future__ import annotations

from dataclasses import replace

import cv2

from tfm.imaging.mammogram import Film
from tfm.imaging.settings import Orient


def apply(film: Film, settings: Orient) -> Film:
    film, breast = film.with_breast()
    flipped = breast.chest_wall_is_right(film.geometry)
    noted = film.noting("orient", flipped=flipped)
    if not flipped:
        return noted
    geometry = film.geometry.mirrored(film.image.shape[1])
    return replace(noted, image=cv2.flip(film.image, 1), geometry=geometry)
