"""The film's grain smoothed, around the breast: the empty film beside it is left as it is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import Blur


_BANDS = 8


def apply(film: Film, settings: Blur) -> Film:
    film, breast = film.with_breast()
    image = film.image.copy()
    for band in breast.bands(_BANDS):
        box = band.box(film.geometry, film.image.shape)
        # The filter sees twice as far as it writes, so that it never meets an edge that the film does not have.
        rows, columns = (_wider(span, settings.size // 2, extent) for span, extent in zip(box, image.shape, strict=True))
        seen = tuple(
            _wider(span, settings.size // 2, extent)
            for span, extent in zip((rows, columns), image.shape, strict=True)
        )
        smooth = _filtered(film.image[seen], settings)
        image[rows, columns] = smooth[
            rows.start - seen[0].start : rows.stop - seen[0].start,
            columns.start - seen[1].start : columns.stop - seen[1].start,
        ]
    return replace(film, image=image)


def _wider(span: slice, margin: int, extent: int) -> slice:
    return slice(max(0, span.start - margin), min(extent, span.stop + margin))


def _filtered(image: np.ndarray, settings: Blur) -> np.ndarray:
    if settings.filter == "gaussian":
        return cv2.GaussianBlur(image, (settings.size, settings.size), 0)
    if image.dtype == np.uint8:
        return cv2.bilateralFilter(image, settings.size, settings.sigma_color, settings.sigma_space)
    # OpenCV's filter knows 8 bit and floats; the greys of 256 are taken in the image's own.
    floats = image.astype(np.float32)
    smooth = cv2.bilateralFilter(floats, settings.size, settings.sigma_color * 257, settings.sigma_space)
    return np.rint(smooth, out=floats)
