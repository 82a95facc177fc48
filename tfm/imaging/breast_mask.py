"""Where the breast is: the one definition of the breast mask that steps, training and explanation share.

What is done with the mask stands in `steps/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np

from tfm.core.errors import DataError
from tfm.imaging.geometry import Geometry, Shape, project_outline
from tfm.imaging.scan_border import find_area_inside_border

THUMBNAIL_HEIGHT = 256  # finer ones move the outline by less than the dilation does
SAMPLES_HEIGHT = 1024  # of a large film, so many rows are enough to make the thumbnail of
LEAST_SIDE = 16  # pixels: less is no image of anything
OTSU_SHARE = 0.6  # the skin line is dimmer than what parts tissue from film
# Shares of the height:
THIN_SHARE = 0.04  # film frames, letters and tape are thinner than this, breasts are not
DILATION_SHARE = 0.02


@dataclass(frozen=True)
class BreastMask:
    """The breast's outline on a film, at the thumbnail's resolution; any image of that film can look it up."""

    outline: np.ndarray  # (h, w) uint8: 255 inside, 0 outside
    at: Geometry
    _seen: dict[tuple[Geometry, Shape], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def mask(self, at: Geometry, shape: Shape) -> np.ndarray:
        """(H, W) bool, not to be written to, for an image of that shape which lies there on the film."""
        if (at, shape) not in self._seen:
            self._seen.clear()  # one step after the other looks at one image; an earlier one is past
            self._seen[at, shape] = project_outline(self.outline, self.at, at, shape)
        return self._seen[at, shape]

    def box(self, at: Geometry, shape: Shape, margin: int = 0) -> tuple[slice, slice]:
        """The rows and columns of the image that hold the breast, and so many pixels around it."""
        left, top, width, height = cv2.boundingRect(self.outline)
        rows = at.rows(self.at.top + self.at.down * np.array([top, top + height]))
        columns = at.columns(self.at.left + self.at.right * np.array([left, left + width]))
        return _span(rows, margin, shape[0]), _span(columns, margin, shape[1])

    def bands(self, count: int) -> Iterator[BreastMask]:
        """So many parts, one below the other: together their boxes hold little more than the breast."""
        edges = np.linspace(0, len(self.outline), count + 1).astype(int)
        for top, bottom in pairwise(edges):
            if self.outline[top:bottom].any():
                yield BreastMask(self.outline[top:bottom], self.at.shift(int(top), 0))

    def is_chest_wall_right(self, at: Geometry) -> bool:
        """The breast is broad at the chest wall and narrow at the nipple: its mass lies on the chest wall's side."""
        heights = np.count_nonzero(self.outline, axis=0)
        columns = np.flatnonzero(heights)
        middle_of_mass = np.average(np.arange(heights.size), weights=heights)
        on_the_right = bool(middle_of_mass > (columns[0] + columns[-1]) / 2)
        return on_the_right != (at.is_mirrored != self.at.is_mirrored)


def _span(places: np.ndarray, margin: int, count: int) -> slice:
    first, last = int(np.floor(places.min() + 1e-6)), int(np.ceil(places.max() - 1e-6))
    start = min(max(0, first - margin), count)  # a crop may have left nothing of it
    return slice(start, max(start, min(count, last + margin)))


def compute_breast_mask(image: np.ndarray) -> np.ndarray:
    """image (H, W) uint8 or uint16, brighter is denser → (H, W) bool."""
    return find_breast(image, Geometry()).mask(Geometry(), image.shape)


def find_breast(image: np.ndarray, at: Geometry) -> BreastMask:
    """On a thumbnail: square root of intensity → 0.6 × Otsu → largest part → holes filled → dilation."""
    check_grey(image)
    rows, columns = find_area_inside_border(image)
    inner = image[rows, columns]
    thumbnail = _thumbnail(inner)
    if thumbnail.min() == thumbnail.max():
        raise _no_breast("it has one value everywhere")
    bright = _bright(thumbnail)
    breast = _largest_part(_without_thin_parts(bright))
    breast = _filled(_regrown(breast, bright))
    outline = cv2.dilate(breast, _kernel(DILATION_SHARE, len(breast))) * np.uint8(255)
    down, right = inner.shape[0] / thumbnail.shape[0], inner.shape[1] / thumbnail.shape[1]
    return BreastMask(outline, at.shift(rows.start, columns.start).scale(down, right))


def check_grey(image: np.ndarray) -> None:
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"an image of shape {image.shape} and type {image.dtype} is no grey mammogram",
            hint="a mammogram is one grey channel of 8 or 16 bit: look at how it was exported",
        )
    if min(image.shape) < LEAST_SIDE:
        raise _no_breast(f"it has {image.shape[0]} × {image.shape[1]} pixels")


def _no_breast(reason: str) -> DataError:
    return DataError(
        f"no breast found in the image: {reason}",
        hint="look at the file in a viewer; if it is black, download it again",
    )


def _thumbnail(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    if height <= THUMBNAIL_HEIGHT:
        return image
    every = max(1, height // SAMPLES_HEIGHT)
    samples = np.ascontiguousarray(image[every // 2 :: every, every // 2 :: every])
    size = (max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT)
    return cv2.resize(samples, size, interpolation=cv2.INTER_AREA)


def _kernel(share: float, height: int) -> np.ndarray:
    size = 2 * int(share * height / 2) + 1  # odd: an even one would shift every outline by a pixel
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _bright(thumbnail: np.ndarray) -> np.ndarray:
    black, white = int(thumbnail.min()), int(thumbnail.max())  # black is not 0 in every file
    levels = np.round(np.sqrt((thumbnail - black) / (white - black)) * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(levels > OTSU_SHARE * threshold, np.uint8)


def _without_thin_parts(parts: np.ndarray) -> np.ndarray:
    """Slanted frames, letters and tape come off; nipple and skin folds too, until they are regrown."""
    # Outside counts as dark, so that a strip along the edge is as thin as it looks.
    kernel = _kernel(THIN_SHARE, len(parts))
    eroded = cv2.erode(parts, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(cv2.dilate(eroded, kernel))


def _largest_part(parts: np.ndarray) -> np.ndarray:
    count, part_of_pixel, statistics, _ = cv2.connectedComponentsWithStats(parts, connectivity=4)
    if count == 1:
        raise _no_breast("nothing in it is larger than letters are")
    return np.asarray(part_of_pixel == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA]), np.uint8)


def _regrown(breast: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Bright pixels next to the breast are breast again, but for those at the very edge, where frames lie."""
    near = cv2.dilate(breast, _kernel(2 * THIN_SHARE, len(breast))) & bright
    edge = int(THIN_SHARE * len(breast))
    near[:edge], near[len(near) - edge :], near[:, :edge], near[:, near.shape[1] - edge :] = 0, 0, 0, 0
    return _largest_part(breast | near)


def _filled(breast: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(breast, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(breast), outlines, -1, 1, cv2.FILLED)
