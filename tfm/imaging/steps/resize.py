"""Scale to one size, keeping proportions: chest wall at the image's edge, centred in height, padded with black."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Resize


def apply(mammogram: Mammogram, settings: Resize) -> Mammogram:
    mammogram, breast = mammogram.locate_breast()
    height, width = mammogram.image.shape
    scale = min(settings.height / height, settings.width / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top = (settings.height - inner[0]) // 2
    left = settings.width - inner[1] if breast.is_chest_wall_right(mammogram.geometry) else 0
    image = np.zeros((settings.height, settings.width), mammogram.image.dtype)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image[top : top + inner[0], left : left + inner[1]] = cv2.resize(
        mammogram.image, inner[::-1], interpolation=interpolation
    )
    geometry = mammogram.geometry.scale(height / inner[0], width / inner[1]).shift(-top, -left)
    recorded = mammogram.record_step("resize", scale=scale, top=top, left=left, height=inner[0], width=inner[1])
    return replace(recorded, image=image, geometry=geometry)
