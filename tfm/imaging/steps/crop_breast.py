"""The breast's bounding box with a margin: a third to a half of a film is empty, and resolution is what counts."""

from __future__ import annotations

from tfm.imaging.mammogram import Film
from tfm.imaging.settings import CropBreast


def apply(film: Film, settings: CropBreast) -> Film:
    film, breast = film.with_breast()
    margin = round(settings.margin * film.image.shape[0])
    return film.cropped("crop_breast", *breast.box(film.geometry, film.image.shape, margin))
