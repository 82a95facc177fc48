"""Find the bright strips that a scanner leaves along the edges of a film.
The step that cuts off straight ones is `steps/border.py`; the breast mask excludes the others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import cv2
import numpy as np

MAX_BORDER_SHARE = 0.04  # of the height
WHITE_SHARE = 0.9  # of the brightest pixel
# A strip ends sharply, even over tissue. Shares of the brightest pixel:
MIN_DROP = 0.12  # from a strip to the tissue beside it
BRIGHT_TISSUE = 0.7  # where tissue is as bright as a strip, the strip has no visible end
# Shares of the height:
DROP_WIDTH = 0.005
MIN_STRIP_LENGTH = 0.1
SMOOTHED_LENGTH = 0.02
COMPARED_LENGTH = 0.05
MAX_TILT = 0.1  # rows per column: the muscle crosses an edge at a steeper angle


def find_area_inside_border(image: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns inside the border: lines at the edges that are white from end to end.

    Tissue never fills a whole line with white.
    """
    height, width = image.shape
    white = WHITE_SHARE * float(image.max())
    max_lines = round(MAX_BORDER_SHARE * height)
    step = max(1, height // 512)  # some of a line's pixels are enough to see that it is white

    def count_white_lines(lines: np.ndarray) -> int:
        # Not the median: white strips of half the length lie over tissue, and cutting them would lose lesions at the
        # chest wall.
        white_lines = takewhile(lambda line: np.quantile(line[::step], 0.05) >= white, lines[:max_lines])
        return sum(1 for _ in white_lines)

    top, bottom = count_white_lines(image), count_white_lines(image[::-1])
    left, right = count_white_lines(image.T), count_white_lines(image.T[::-1])
    return slice(top, height - bottom), slice(left, width - right)


def find_strips(thumbnail: np.ndarray) -> np.ndarray:
    """Find the strips along the edges, also slanted ones and those along a part of an edge → (h, w) bool."""
    height = len(thumbnail)
    levels = thumbnail / np.float32(thumbnail.max())
    strips: np.ndarray = np.zeros(thumbnail.shape, bool)
    for turned, found in zip(_turn_each_edge_up(levels), _turn_each_edge_up(strips), strict=True):
        found |= _find_strip_at_top(turned, height)  # into a view of strips
    return strips


def _turn_each_edge_up(image: np.ndarray) -> Iterator[np.ndarray]:
    yield from (image, image[::-1], image.T, image.T[::-1])


def _find_strip_at_top(levels: np.ndarray, height: int) -> np.ndarray:
    """levels (lines, places) float, 0 to 1 → (lines, places) bool. `height` is the film's."""
    max_lines, drop_lines = (max(1, round(share * height)) for share in (MAX_BORDER_SHARE, DROP_WIDTH))
    lines = np.arange(len(levels))[:, None]
    if len(lines) < max_lines + drop_lines:
        return np.zeros(levels.shape, bool)
    smooth = cv2.blur(np.ascontiguousarray(levels[: max_lines + drop_lines]), (_make_odd(SMOOTHED_LENGTH, height), 1))
    darkest = np.minimum.accumulate(smooth[:max_lines])  # from the edge to each line
    drops = np.where(darkest >= smooth[drop_lines:] + MIN_DROP, smooth[:max_lines] - smooth[drop_lines:], np.float32(0))
    # The strip ends where the steepest drop is over.
    is_over = (drops < MIN_DROP) & (lines[:max_lines] > drops.argmax(0))
    depths = np.where(is_over.any(0), is_over.argmax(0), max_lines).astype(np.float32)
    ends = _select_strip_places(depths, drops.max(0) >= MIN_DROP, height)
    if not ends.any():
        return np.zeros(levels.shape, bool)
    # The strip goes on where tissue as bright hides its end, and in short gaps.
    near = _close_gaps(ends, MIN_STRIP_LENGTH, height)
    _, part_of_place = cv2.connectedComponents((near | (darkest[-1] >= BRIGHT_TISSUE)).astype(np.uint8)[None])
    goes_on = np.isin(part_of_place[0], np.unique(part_of_place[0, ends]))
    places = np.arange(len(depths))
    return np.asarray(lines < np.where(goes_on, np.ceil(np.interp(places, places[ends], depths[ends])), 0))


def _select_strip_places(depths: np.ndarray, is_sharp: np.ndarray, height: int) -> np.ndarray:
    """Select long runs of places where the depth hardly changes. A fold or the muscle's edge is short or steep."""
    compared = np.ones((1, _make_odd(COMPARED_LENGTH, height)), np.uint8)
    deepest = cv2.dilate(np.where(is_sharp, depths, 0)[None], compared)[0]
    shallowest = cv2.erode(np.where(is_sharp, depths, depths.max())[None], compared)[0]
    is_even = is_sharp & (deepest - shallowest <= 1 + MAX_TILT * compared.size)
    closed = _close_gaps(is_even, SMOOTHED_LENGTH, height).astype(np.uint8)[None]
    length = np.ones((1, _make_odd(MIN_STRIP_LENGTH, height)), np.uint8)
    long = cv2.dilate(cv2.erode(closed, length, borderType=cv2.BORDER_CONSTANT, borderValue=0), length)[0] > 0
    return np.asarray(long & is_even)


def _close_gaps(places: np.ndarray, share: float, height: int) -> np.ndarray:
    kernel = np.ones((1, _make_odd(share, height)), np.uint8)
    return np.asarray(cv2.morphologyEx(places.astype(np.uint8)[None], cv2.MORPH_CLOSE, kernel)[0] > 0)


def _make_odd(share: float, height: int) -> int:
    return 2 * round(share * height / 2) + 1
