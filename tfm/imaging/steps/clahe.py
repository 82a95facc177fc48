"""Contrast-limited adaptive histogram equalisation (CLAHE)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Clahe


def apply(mammogram: Mammogram, settings: Clahe) -> Mammogram:
    image = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles)).apply(mammogram.image)
    # CLAHE lifts black a little in tiles that are mostly black: keep the background black.
    np.multiply(image, mammogram.image > 0, out=image)
    return replace(mammogram, image=image)
