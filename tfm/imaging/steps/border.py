"""The scan's border is cut off: the bright strips that are found, or a fixed share of every side."""

from __future__ import annotations

from tfm.imaging.border import inside_the_border
from tfm.imaging.mammogram import Film
from tfm.imaging.settings import Border


def apply(film: Film, settings: Border) -> Film:
    height, width = film.image.shape
    if settings.cut == "found":
        rows, columns = inside_the_border(film.image)
    else:
        down, across = int(settings.share * height), int(settings.share * width)
        rows, columns = slice(down, height - down), slice(across, width - across)
    return film.cropped("border", rows, columns)
