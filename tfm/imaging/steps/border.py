"""The scan's border is cut off: the bright strips that are found, or a fixed share of every side."""

from __future__ import annotations

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.scan_border import find_area_inside_border
from tfm.imaging.settings import Border


def apply(film: Mammogram, settings: Border) -> Mammogram:
    height, width = film.image.shape
    if settings.cut == "found":
        rows, columns = find_area_inside_border(film.image)
    else:
        down, across = int(settings.share * height), int(settings.share * width)
        rows, columns = slice(down, height - down), slice(across, width - across)
    return film.crop("border", rows, columns)
