"""Mirror images so that the chest wall is on the left. The pixels decide: some headers lack or misstate the side."""

from __future__ import annotations

from dataclasses import replace

import cv2

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Orient


def apply(mammogram: Mammogram, settings: Orient) -> Mammogram:
    mammogram, breast = mammogram.locate_breast()
    is_flipped = breast.is_chest_wall_right(mammogram.geometry)
    recorded = mammogram.record_step("orient", flipped=is_flipped)
    if not is_flipped:
        return recorded
    geometry = mammogram.geometry.mirror(mammogram.image.shape[1])
    return replace(recorded, image=cv2.flip(mammogram.image, 1), geometry=geometry)
