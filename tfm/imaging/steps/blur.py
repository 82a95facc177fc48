"""Smooth film grain in and around the breast; the background stays as it is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Blur


def apply(mammogram: Mammogram, settings: Blur) -> Mammogram:
    mammogram, breast = mammogram.locate_breast()
    image = mammogram.image.copy()
    reach = settings.size // 2
    for band in breast.split_into_bands(8):
        # The filter reads twice the margin it writes, so that the edge of a band never shows.
        read, written = (band.find_box(mammogram.geometry, image.shape, margin) for margin in (2 * reach, reach))
        if not mammogram.image[written].size:
            continue
        within = tuple(slice(w.start - r.start, w.stop - r.start) for r, w in zip(read, written, strict=True))
        image[written] = _filter(mammogram.image[read], settings)[within]
    return replace(mammogram, image=image)


def _filter(image: np.ndarray, settings: Blur) -> np.ndarray:
    if settings.filter == "gaussian":
        return cv2.GaussianBlur(image, (settings.size, settings.size), 0)
    if image.dtype == np.uint8:
        return cv2.bilateralFilter(image, settings.size, settings.sigma_color, settings.sigma_space)
    # OpenCV's filter takes 8 bits or floats; sigma_color is scaled from 256 grey levels to 65536.
    floats = image.astype(np.float32)
    smooth = cv2.bilateralFilter(floats, settings.size, settings.sigma_color * 257, settings.sigma_space)
    return np.rint(smooth, out=floats)
