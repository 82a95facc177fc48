"""Contrast-limited adaptive histogram equalisation: each part of the image stretched by its own histogram."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Clahe


def apply(film: Mammogram, settings: Clahe) -> Mammogram:
    image = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles)).apply(film.image)
    # It lifts black a little where a part is mostly black; but black is no tissue.
    np.multiply(image, film.image > 0, out=image)
    return replace(film, image=image)
