"""The breast's bounding box with a margin: a third to a half of a film is empty, and resolution is what counts."""

from __future__ import annotations

from tfm.imaging.film import Film
from tfm.imaging.settings import CropBreast


def apply(film: Film, settings: CropBreast) -> Film:
    film, breast = film.with_breast()
    height, width = film.image.shape
    margin = round(settings.margin * height)
    rows, columns = breast.box(film.geometry, film.image.shape)
    return film.cropped("crop_breast", _wider(rows, margin, height), _wider(columns, margin, width))


def _wider(span: slice, margin: int, extent: int) -> slice:
    return slice(max(0, span.start - margin), min(extent, span.stop + margin))
