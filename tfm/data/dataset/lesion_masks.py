"""The outline of one lesion, as a collection publishes it: a mask file, or a circle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfm.core.errors import DataError
from tfm.data.download.headers import is_jpeg
from tfm.imaging.read_image import has_at_most_two_values, read_pixels
from tfm.imaging.reader_common import DOWNLOAD_AGAIN

_JPEG_MIDDLE = 127  # JPEG black and white are not exactly 0 and 255

Inside = np.ndarray[Any, np.dtype[np.uint8]]  # (H, W): 1 inside the lesion


@dataclass(frozen=True, slots=True)
class MaskFile:
    path: Path

    def draw(self, shape: tuple[int, int]) -> Inside:
        """Read the mask in the size of its mammogram."""
        pixels = read_pixels(self.path)
        if not has_at_most_two_values(pixels):
            raise DataError(f"{self.path.name} has many grey values, so it is no mask", hint=DOWNLOAD_AGAIN)
        inside: Inside = (pixels > (_JPEG_MIDDLE if is_jpeg(str(self.path)) else 0)).astype(np.uint8)
        if not inside.any():
            raise DataError(f"no pixel of {self.path.name} is set", hint=DOWNLOAD_AGAIN)
        if inside.shape != shape:
            inside = np.asarray(cv2.resize(inside, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)
        return inside


@dataclass(frozen=True, slots=True)
class MaskCircle:
    """In pixels from the top left corner."""

    x: int
    y: int
    radius: int

    def draw(self, shape: tuple[int, int]) -> Inside:
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        inside: Inside = ((rows - self.y) ** 2 + (columns - self.x) ** 2 <= self.radius**2).astype(np.uint8)
        if not inside.any():
            raise DataError(f"the circle around ({self.x}, {self.y}) is outside its image", hint=DOWNLOAD_AGAIN)
        return inside


@dataclass(frozen=True, slots=True)
class LesionMask:
    subject: str
    outline: MaskFile | MaskCircle
    sop_uid: str
    size: int  # bytes
    pixel_class: int  # in lesion_classes.MASK_CLASSES
