"""The breast's bounding box with a margin: a third to a half of a film is empty, and resolution is what counts."""

from __future__ import annotations

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import CropBreast


def apply(film: Mammogram, settings: CropBreast) -> Mammogram:
    film, breast = film.locate_breast()
    margin = round(settings.margin * film.image.shape[0])
    return film.crop("crop_breast", *breast.box(film.geometry, film.image.shape, margin))
