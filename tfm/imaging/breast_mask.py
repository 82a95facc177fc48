"""Find the breast. Imaging steps, training and explanation all use this one definition of the breast mask.
What the steps do with the mask is in `steps/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

import cv2
import numpy as np

from tfm.core.errors import DataError
from tfm.imaging.geometry import Geometry, Shape, project_outline
from tfm.imaging.scan_border import find_area_inside_border, find_strips

THUMBNAIL_HEIGHT = 256  # finer thumbnails move the outline by less than the dilation does
SAMPLED_HEIGHT = 1024  # rows of a large image that go into the thumbnail
MIN_SIDE = 16  # pixels
OTSU_SHARE = 0.6  # the skin line is darker than Otsu's threshold between tissue and background
# Shares of the height:
THIN_SHARE = 0.04  # film frames, letters and tape are thinner than this, breasts are not
DILATION_SHARE = 0.02


@dataclass(frozen=True)
class BreastMask:
    """The breast's outline at thumbnail resolution; it can be rendered for any image made from the same mammogram."""

    outline: np.ndarray  # (h, w) uint8: 255 inside, 0 outside
    geometry: Geometry
    _rendered: dict[tuple[Geometry, Shape], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def render(self, geometry: Geometry, shape: Shape) -> np.ndarray:
        """Return the mask for an image with this geometry and shape: (H, W) bool, not to be written to."""
        if (geometry, shape) not in self._rendered:
            self._rendered.clear()  # steps run one after the other: earlier images are not needed again
            self._rendered[geometry, shape] = project_outline(self.outline, self.geometry, geometry, shape)
        return self._rendered[geometry, shape]

    def find_box(self, geometry: Geometry, shape: Shape, margin: int = 0) -> tuple[slice, slice]:
        """Return the rows and columns of the image that contain the breast, plus a margin in pixels."""
        left, top, width, height = cv2.boundingRect(self.outline)
        rows = geometry.convert_rows(self.geometry.top + self.geometry.down * np.array([top, top + height]))
        columns = geometry.convert_columns(self.geometry.left + self.geometry.right * np.array([left, left + width]))
        return _round_to_slice(rows, margin, shape[0]), _round_to_slice(columns, margin, shape[1])

    def split_into_bands(self, count: int) -> Iterator[BreastMask]:
        """Yield horizontal bands of the mask; their boxes together cover little more than the breast."""
        edges = np.linspace(0, len(self.outline), count + 1).astype(int)
        for top, bottom in pairwise(edges):
            if self.outline[top:bottom].any():
                yield BreastMask(self.outline[top:bottom], self.geometry.shift(int(top), 0))

    def is_chest_wall_right(self, geometry: Geometry) -> bool:
        """The breast is broad at the chest wall and narrow at the nipple: most of its area is near the chest wall."""
        heights = np.count_nonzero(self.outline, axis=0)
        columns = np.flatnonzero(heights)
        centre_of_area = np.average(np.arange(heights.size), weights=heights)
        is_right = bool(centre_of_area > (columns[0] + columns[-1]) / 2)
        return is_right != (geometry.is_mirrored != self.geometry.is_mirrored)


def _round_to_slice(edges: np.ndarray, margin: int, count: int) -> slice:
    first, last = int(np.floor(edges.min() + 1e-6)), int(np.ceil(edges.max() - 1e-6))
    start = min(max(0, first - margin), count)  # a crop may have removed all of it
    return slice(start, max(start, min(count, last + margin)))


def find_breast(image: np.ndarray, geometry: Geometry) -> BreastMask:
    """On a thumbnail: square root of intensity → 0.6 × Otsu → largest part → holes filled → dilation → no strips.

    image (H, W) uint8 or uint16, brighter is denser.
    """
    _check_image(image)
    rows, columns = find_area_inside_border(image)
    inner = image[rows, columns]
    thumbnail = _make_thumbnail(inner)
    if thumbnail.min() == thumbnail.max():
        _raise_no_breast("all pixels have the same value")
    strips = find_strips(thumbnail)
    bright = _find_bright_pixels(thumbnail) & ~strips
    breast = _select_largest_part(_remove_thin_parts(bright))
    breast = _fill_holes(_add_bright_neighbours(breast, bright))
    outline = cv2.dilate(breast, _build_kernel(DILATION_SHARE, len(breast))) * np.uint8(255)
    outline[strips] = 0
    down, right = inner.shape[0] / thumbnail.shape[0], inner.shape[1] / thumbnail.shape[1]
    return BreastMask(outline, geometry.shift(rows.start, columns.start).scale(down, right))


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"an image of shape {image.shape} and type {image.dtype} is not a grey mammogram",
            hint="a mammogram has one grey channel of 8 or 16 bits: check how the image was exported",
        )
    if min(image.shape) < MIN_SIDE:
        _raise_no_breast(f"it has only {image.shape[0]} × {image.shape[1]} pixels")


def _raise_no_breast(reason: str) -> NoReturn:
    raise DataError(
        f"no breast found in the image: {reason}",
        hint="open the file in a viewer; if it is black, download it again",
    )


def _make_thumbnail(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    if height <= THUMBNAIL_HEIGHT:
        return image
    every = max(1, height // SAMPLED_HEIGHT)
    samples = np.ascontiguousarray(image[every // 2 :: every, every // 2 :: every])
    size = (max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT)
    return cv2.resize(samples, size, interpolation=cv2.INTER_AREA)


def _build_kernel(share: float, height: int) -> np.ndarray:
    size = 2 * int(share * height / 2) + 1  # odd: an even size would shift every outline by a pixel
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _find_bright_pixels(thumbnail: np.ndarray) -> np.ndarray:
    black, white = int(thumbnail.min()), int(thumbnail.max())  # black is not 0 in every file
    levels = np.round(np.sqrt((thumbnail - black) / (white - black)) * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(levels > OTSU_SHARE * threshold, np.uint8)


def _remove_thin_parts(parts: np.ndarray) -> np.ndarray:
    """Remove slanted frames, letters and tape. Nipple and skin folds go too, until `_add_bright_neighbours`."""
    # Pixels outside the image count as dark: a strip along the edge is as thin as it looks.
    kernel = _build_kernel(THIN_SHARE, len(parts))
    eroded = cv2.erode(parts, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(cv2.dilate(eroded, kernel))


def _select_largest_part(parts: np.ndarray) -> np.ndarray:
    count, part_of_pixel, statistics, _ = cv2.connectedComponentsWithStats(parts, connectivity=4)
    if count == 1:
        _raise_no_breast("nothing in it is larger than a letter")
    return np.asarray(part_of_pixel == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA]), np.uint8)


def _add_bright_neighbours(breast: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Add bright pixels next to the breast, except at the image's edges, where film frames are."""
    near = cv2.dilate(breast, _build_kernel(2 * THIN_SHARE, len(breast))) & bright
    edge = int(THIN_SHARE * len(breast))
    near[:edge], near[len(near) - edge :], near[:, :edge], near[:, near.shape[1] - edge :] = 0, 0, 0, 0
    return _select_largest_part(breast | near)


def _fill_holes(breast: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(breast, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(breast), outlines, -1, 1, cv2.FILLED)
