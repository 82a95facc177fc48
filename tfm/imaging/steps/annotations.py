"""Labels, tape, handwriting and film frame become black; the skin line, inside the dilated breast mask, stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Annotations


def apply(film: Mammogram, settings: Annotations) -> Mammogram:
    film, breast = film.locate_breast()
    rows, columns = breast.box(film.geometry, film.image.shape)
    within = film.image[rows, columns]
    mask = breast.mask(film.geometry.shift(rows.start, columns.start), within.shape)
    image = np.zeros_like(film.image)
    np.multiply(within, mask, out=image[rows, columns])
    return replace(film, image=image)
