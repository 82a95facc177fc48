"""The film's grain smoothed, around the breast: the empty film beside it is left as it is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.film import Film
from tfm.imaging.settings import Blur


def apply(film: Film, settings: Blur) -> Film:
    film, breast = film.with_breast()
    reach = settings.size // 2
    # The filter sees twice as far as it writes, so that it never meets an edge that the film does not have.
    (read_rows, read_columns), (rows, columns) = (
        tuple(
            slice(max(0, span.start - times * reach), min(extent, span.stop + times * reach))
            for span, extent in zip(breast.box(film.geometry, film.image.shape), film.image.shape, strict=True)
        )
        for times in (2, 1)
    )
    smooth = _filtered(film.image[read_rows, read_columns], settings)
    image = film.image.copy()
    image[rows, columns] = smooth[
        rows.start - read_rows.start : rows.stop - read_rows.start,
        columns.start - read_columns.start : columns.stop - read_columns.start,
    ]
    return replace(film, image=image)


def _filtered(image: np.ndarray, settings: Blur) -> np.ndarray:
    if settings.filter == "gaussian":
        return cv2.GaussianBlur(image, (settings.size, settings.size), 0)
    if image.dtype == np.uint8:
        return cv2.bilateralFilter(image, settings.size, settings.sigma_color, settings.sigma_space)
    # OpenCV's filter knows 8 bit and floats; the greys of 256 are taken in the image's own.
    smooth = cv2.bilateralFilter(
        image.astype(np.float32), settings.size, settings.sigma_color * 257, settings.sigma_space
    )
    return np.rint(smooth).astype(image.dtype)
