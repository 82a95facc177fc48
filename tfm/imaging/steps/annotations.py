"""Blacken everything outside the breast mask: labels, tape, handwriting, film frame. The skin line is inside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfm.imaging.mammogram import Mammogram
from tfm.imaging.settings import Annotations


def apply(mammogram: Mammogram, settings: Annotations) -> Mammogram:
    mammogram, breast = mammogram.locate_breast()
    rows, columns = breast.find_box(mammogram.geometry, mammogram.image.shape)
    box = mammogram.image[rows, columns]
    mask = breast.render(mammogram.geometry.shift(rows.start, columns.start), box.shape)
    image = np.zeros_like(mammogram.image)
    np.multiply(box, mask, out=image[rows, columns])
    return replace(mammogram, image=image)
