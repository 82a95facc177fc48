"""The breast's bounding box with a margin: a third to a half of a film is empty, and resolution is what counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import CropBreast


def apply(film: Film, settings: CropBreast) -> Film:
    margin = round(settings.margin * film.image.shape[0])
    rows, columns = (_span(film.breast.max(axis=axis), margin) for axis in (1, 0))
    box = {"top": rows.start, "bottom": rows.stop, "left": columns.start, "right": columns.stop}
    return replace(
        film,
        image=film.image[rows, columns],
        breast=film.breast[rows, columns],
        lesions=film.lesions[rows, columns],
        record={**film.record, "crop_breast": box},
    )


def _span(occupied: np.ndarray, margin: int) -> slice:
    places = np.flatnonzero(occupied)
    return slice(max(0, int(places[0]) - margin), min(occupied.size, int(places[-1]) + 1 + margin))
