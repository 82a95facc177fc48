"""Where the pixels of an image lie on the film it came from. Whatever else is known of the film (breast, lesions) is
looked up through this, once, so that nothing can move apart from the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

Shape = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """In pixels of the film as it was read: where the first pixel begins, and the step from one pixel to the next.
    `right` is negative in a mirrored image. `seen` is what crops have left of the film: top, bottom, left, right; what
    an image shows beside that is padding."""

    top: float = 0.0
    left: float = 0.0
    down: float = 1.0
    right: float = 1.0
    seen: tuple[float, float, float, float] = (-math.inf, math.inf, -math.inf, math.inf)

    def shift(self, top: int, left: int) -> Geometry:
        """From another first pixel on; a negative one adds padding."""
        return replace(self, top=self.top + top * self.down, left=self.left + left * self.right)

    def crop(self, rows: slice, columns: slice) -> Geometry:
        """What is cut off does not come back, however the image is padded later."""
        top, bottom = (self.top + row * self.down for row in (rows.start, rows.stop))
        left, right = sorted(self.left + column * self.right for column in (columns.start, columns.stop))
        before = self.seen
        seen = (max(before[0], top), min(before[1], bottom), max(before[2], left), min(before[3], right))
        return replace(self.shift(rows.start, columns.start), seen=seen)

    def scale(self, down: float, right: float) -> Geometry:
        """Each new pixel as large as so many old ones."""
        return replace(self, down=self.down * down, right=self.right * right)

    def mirror(self, width: int) -> Geometry:
        return replace(self, left=self.left + width * self.right, right=-self.right)

    @property
    def is_mirrored(self) -> bool:
        return self.right < 0

    def rows(self, film: np.ndarray) -> np.ndarray:
        """Rows of this image at these rows of the film."""
        return (film - self.top) / self.down

    def columns(self, film: np.ndarray) -> np.ndarray:
        return (film - self.left) / self.right

    def record(self) -> dict[str, float]:
        """What leads from a pixel of the image to the film."""
        return {name: getattr(self, name) for name in ("top", "left", "down", "right")}


def project_outline(grid: np.ndarray, grid_at: Geometry, at: Geometry, shape: Shape) -> np.ndarray:
    """grid (h, w) uint8, 255 inside and 0 outside, as an image of `shape` sees it → (H, W) bool. A coarse grid gives
    a curve and not its own staircase."""
    # An image much finer than the grid is looked up at every few pixels, and those between are filled in: 4 × faster.
    every = max(1, int(min(abs(grid_at.right / at.right), grid_at.down / at.down)) // 4)
    coarse = at.scale(every, every)
    height, width = -(-shape[0] // every), -(-shape[1] // every)
    # Of the middles of two pixels; OpenCV counts from the middle of the first.
    across, x = coarse.right / grid_at.right, (coarse.left + coarse.right / 2 - grid_at.left) / grid_at.right - 0.5
    downward, y = coarse.down / grid_at.down, (coarse.top + coarse.down / 2 - grid_at.top) / grid_at.down - 0.5
    to_grid = np.array([[across, 0, x], [0, downward, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(grid, to_grid, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if every > 1:
        seen = cv2.resize(seen, (width * every, height * every), interpolation=cv2.INTER_LINEAR)
    inside = seen[: shape[0], : shape[1]] > 127
    rows = _within(at.top + at.down * (np.arange(shape[0]) + 0.5), at.seen[:2], grid_at.top, grid_at.down, len(grid))
    columns = _within(
        at.left + at.right * (np.arange(shape[1]) + 0.5), at.seen[2:], grid_at.left, grid_at.right, grid.shape[1]
    )
    inside[: rows.start], inside[rows.stop :], inside[:, : columns.start], inside[:, columns.stop :] = (False,) * 4
    return inside


def _within(middles: np.ndarray, seen: tuple[float, ...], first: float, step: float, count: int) -> slice:
    """Those that lie on the grid, and on what is left of the film."""
    places = (middles - first) / step
    on = np.flatnonzero((places >= 0) & (places < count) & (middles >= seen[0]) & (middles < seen[1]))
    return slice(int(on[0]), int(on[-1]) + 1) if on.size else slice(0, 0)


def compute_coverage(
    grid: np.ndarray, grid_at: Geometry, at: Geometry, shape: Shape
) -> tuple[slice, slice, np.ndarray]:
    """How much of each pixel of an image of `shape` is inside, by area and exactly: the rows and columns that see any
    of the grid, and the shares there. grid (h, w) bool."""
    tops = (grid_at.top + grid_at.down * np.arange(grid.shape[0] + 1)).clip(*at.seen[:2])
    lefts = (grid_at.left + grid_at.right * np.arange(grid.shape[1] + 1)).clip(*at.seen[2:])
    rows, downward = _overlaps(at.rows(tops), shape[0])
    columns, across = _overlaps(at.columns(lefts), shape[1])
    return rows, columns, downward @ grid.astype(np.float32) @ across.T


def _overlaps(edges: np.ndarray, count: int) -> tuple[slice, np.ndarray]:
    """(pixels, cells): the share of each pixel that each cell between two edges covers."""
    first, last = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    reach = slice(max(0, int(np.floor(first.min()))), min(count, int(np.ceil(last.max()))))
    pixels = np.arange(reach.start, max(reach.start, reach.stop))[:, None]
    covered = np.minimum(last, pixels + 1) - np.maximum(first, pixels)
    return slice(reach.start, reach.start + len(pixels)), np.maximum(covered, 0).astype(np.float32)
