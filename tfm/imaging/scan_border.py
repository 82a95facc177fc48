"""Find the bright strips that a scanner leaves along the edges of a film.
The step that cuts them off is `steps/border.py`."""

from __future__ import annotations

from itertools import takewhile

import numpy as np

MAX_BORDER_SHARE = 0.04  # of the height
WHITE_SHARE = 0.9  # of the brightest pixel


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
