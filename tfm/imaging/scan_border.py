"""Where the scan ends and the film begins: bright strips along the edges of a scanned film."""

from __future__ import annotations

from itertools import takewhile

import numpy as np

WIDEST_SHARE = 0.04  # of the height: no border is wider
WHITE_SHARE = 0.9  # of the brightest pixel


def find_area_inside_border(image: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns within the lines at the edges that are white from end to end: the scan past the film. No tissue
    is that."""
    height, width = image.shape
    white = WHITE_SHARE * float(image.max())
    widest = round(WIDEST_SHARE * height)
    step = max(1, height // 512)  # a white line is seen in a part of its pixels

    def thickness(lines: np.ndarray) -> int:
        # Not the median: white strips half as long lie over tissue, and cutting those costs lesions at the chest wall.
        white_lines = takewhile(lambda line: np.quantile(line[::step], 0.05) >= white, lines[:widest])
        return sum(1 for _ in white_lines)

    top, bottom = thickness(image), thickness(image[::-1])
    left, right = thickness(image.T), thickness(image.T[::-1])
    return slice(top, height - bottom), slice(left, width - right)
