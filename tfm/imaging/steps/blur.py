"""The film's grain smoothed, around the breast: the empty film beside it is left as it is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Blur

_BANDS = 8


def apply(film: Mammogram, settings: Blur) -> Mammogram:
    film, breast = film.locate_breast()
    image = film.image.copy()
    reach = settings.size // 2
    for band in breast.bands(_BANDS):
        # The filter sees twice as far as it writes, so that it never meets an edge that the film does not have.
        seen, written = (band.box(film.geometry, image.shape, margin) for margin in (2 * reach, reach))
        if not film.image[written].size:
            continue
        within = tuple(slice(w.start - s.start, w.stop - s.start) for s, w in zip(seen, written, strict=True))
        image[written] = _filtered(film.image[seen], settings)[within]
    return replace(film, image=image)


def _filtered(image: np.ndarray, settings: Blur) -> np.ndarray:
    if settings.filter == "gaussian":
        return cv2.GaussianBlur(image, (settings.size, settings.size), 0)
    if image.dtype == np.uint8:
        return cv2.bilateralFilter(image, settings.size, settings.sigma_color, settings.sigma_space)
    # OpenCV's filter knows 8 bit and floats; the greys of 256 are taken in the image's own.
    floats = image.astype(np.float32)
    smooth = cv2.bilateralFilter(floats, settings.size, settings.sigma_color * 257, settings.sigma_space)
    return np.rint(smooth, out=floats)
