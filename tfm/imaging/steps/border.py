"""Cut off the scan's border: the bright strips found along the edges, or a fixed share of every side."""

from __future__ import annotations

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.scan_border import find_area_inside_border
from tfm.imaging.settings import Border


def apply(mammogram: Mammogram, settings: Border) -> Mammogram:
    height, width = mammogram.image.shape
    if settings.cut == "found":
        rows, columns = find_area_inside_border(mammogram.image)
    else:
        down, across = int(settings.share * height), int(settings.share * width)
        rows, columns = slice(down, height - down), slice(across, width - across)
    return mammogram.crop("border", rows, columns)
