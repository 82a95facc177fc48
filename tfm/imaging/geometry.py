"""Where an image's pixels are on the mammogram it was made from.
The breast and the lesions are known on the mammogram and projected through this once, so that they cannot drift apart
from the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

Shape = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """In pixels of the mammogram as it was read.

    `top` and `left` are where the first pixel begins, `down` and `right` the step from one pixel to the next; `right`
    is negative in a mirrored image. `visible` is what crops have left of the mammogram (top, bottom, left, right);
    anything an image shows outside it is padding.
    """

    top: float = 0.0
    left: float = 0.0
    down: float = 1.0
    right: float = 1.0
    visible: tuple[float, float, float, float] = (-math.inf, math.inf, -math.inf, math.inf)

    def shift(self, top: int, left: int) -> Geometry:
        """Start at another pixel; negative numbers add padding."""
        return replace(self, top=self.top + top * self.down, left=self.left + left * self.right)

    def crop(self, rows: slice, columns: slice) -> Geometry:
        """Cut to these rows and columns. What was cut off stays invisible when padding is added later."""
        top, bottom = (self.top + row * self.down for row in (rows.start, rows.stop))
        left, right = sorted(self.left + column * self.right for column in (columns.start, columns.stop))
        before = self.visible
        visible = (max(before[0], top), min(before[1], bottom), max(before[2], left), min(before[3], right))
        return replace(self.shift(rows.start, columns.start), visible=visible)

    def scale(self, down: float, right: float) -> Geometry:
        """Make each new pixel this many old pixels high and wide."""
        return replace(self, down=self.down * down, right=self.right * right)

    def mirror(self, width: int) -> Geometry:
        return replace(self, left=self.left + width * self.right, right=-self.right)

    @property
    def is_mirrored(self) -> bool:
        return self.right < 0

    def convert_rows(self, rows: np.ndarray) -> np.ndarray:
        """Convert rows of the mammogram to rows of this image."""
        return (rows - self.top) / self.down

    def convert_columns(self, columns: np.ndarray) -> np.ndarray:
        return (columns - self.left) / self.right

    def describe(self) -> dict[str, float]:
        return {"top": self.top, "left": self.left, "down": self.down, "right": self.right}


def project_outline(grid: np.ndarray, grid_geometry: Geometry, geometry: Geometry, shape: Shape) -> np.ndarray:
    """Project a grid (h, w) uint8, 255 inside and 0 outside, onto an image → (H, W) bool.

    A coarse grid gives a smooth curve, not a staircase.
    """
    # An image much finer than the grid is looked up at every few pixels, and the rest interpolated: 4 × faster.
    every = max(1, int(min(abs(grid_geometry.right / geometry.right), grid_geometry.down / geometry.down)) // 4)
    coarse = geometry.scale(every, every)
    height, width = -(-shape[0] // every), -(-shape[1] // every)
    # OpenCV places pixel 0 at the middle of the first pixel, a Geometry at its edge: hence the halves.
    across = coarse.right / grid_geometry.right
    down = coarse.down / grid_geometry.down
    x = (coarse.left + coarse.right / 2 - grid_geometry.left) / grid_geometry.right - 0.5
    y = (coarse.top + coarse.down / 2 - grid_geometry.top) / grid_geometry.down - 0.5
    to_grid = np.array([[across, 0, x], [0, down, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    projected = cv2.warpAffine(grid, to_grid, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if every > 1:
        projected = cv2.resize(projected, (width * every, height * every), interpolation=cv2.INTER_LINEAR)
    inside = projected[: shape[0], : shape[1]] > 127
    row_middles = geometry.top + geometry.down * (np.arange(shape[0]) + 0.5)
    column_middles = geometry.left + geometry.right * (np.arange(shape[1]) + 0.5)
    rows = _find_visible(row_middles, geometry.visible[:2], grid_geometry.top, grid_geometry.down, grid.shape[0])
    columns = _find_visible(
        column_middles, geometry.visible[2:], grid_geometry.left, grid_geometry.right, grid.shape[1]
    )
    inside[: rows.start], inside[rows.stop :], inside[:, : columns.start], inside[:, columns.stop :] = (False,) * 4
    return inside


def _find_visible(middles: np.ndarray, visible: tuple[float, ...], first: float, step: float, count: int) -> slice:
    """Return the pixels whose middles lie on the grid and on the visible part of the mammogram."""
    places = (middles - first) / step
    on = np.flatnonzero((places >= 0) & (places < count) & (middles >= visible[0]) & (middles < visible[1]))
    return slice(int(on[0]), int(on[-1]) + 1) if on.size else slice(0, 0)


def compute_coverage(
    grid: np.ndarray, grid_geometry: Geometry, geometry: Geometry, shape: Shape
) -> tuple[slice, slice, np.ndarray]:
    """Compute the share of each pixel's area that is inside a grid (h, w) bool, exactly.

    Returns:
        The rows and columns of the image that overlap the grid, and the shares there.
    """
    tops, lefts = _find_edges(grid.shape, grid_geometry, geometry)
    rows, downward = _compute_overlaps(geometry.convert_rows(tops), shape[0])
    columns, across = _compute_overlaps(geometry.convert_columns(lefts), shape[1])
    return rows, columns, downward @ grid.astype(np.float32) @ across.T


def compute_visible_share(grid: np.ndarray, grid_geometry: Geometry, geometry: Geometry, shape: Shape) -> float:
    """Compute the share of a grid's inside (h, w) bool, not empty, that lies in an image."""
    tops, lefts = _find_edges(grid.shape, grid_geometry, geometry)
    heights = np.abs(np.diff(geometry.convert_rows(tops).clip(0, shape[0]))) * geometry.down / grid_geometry.down
    widths = np.abs(np.diff(geometry.convert_columns(lefts).clip(0, shape[1]) * geometry.right / grid_geometry.right))
    return float(heights @ grid @ widths / grid.sum())


def _find_edges(shape: Shape, grid_geometry: Geometry, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of a grid's rows and columns, moved to the visible part of the mammogram."""
    tops = (grid_geometry.top + grid_geometry.down * np.arange(shape[0] + 1)).clip(*geometry.visible[:2])
    lefts = (grid_geometry.left + grid_geometry.right * np.arange(shape[1] + 1)).clip(*geometry.visible[2:])
    return tops, lefts


def _compute_overlaps(edges: np.ndarray, count: int) -> tuple[slice, np.ndarray]:
    """Return the overlapping pixels, and (pixels, cells): the share of each pixel that each cell covers."""
    first, last = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    reach = slice(max(0, int(np.floor(first.min()))), min(count, int(np.ceil(last.max()))))
    pixels = np.arange(reach.start, max(reach.start, reach.stop))[:, None]
    covered = np.minimum(last, pixels + 1) - np.maximum(first, pixels)
    return slice(reach.start, reach.start + len(pixels)), np.maximum(covered, 0).astype(np.float32)
