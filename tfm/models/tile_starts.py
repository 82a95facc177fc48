"""Where the tiles start that cover an image which is larger than a network's input."""

from __future__ import annotations

import numpy as np


def get_tile_starts(side: int, tile: int, overlap: float) -> list[int]:
    """The first rows of evenly spaced tiles that cover a side, each overlapping the next by at least that share."""
    steps = int(np.ceil((side - tile) / (tile * (1 - overlap))))
    return [round(start) for start in np.linspace(0, side - tile, steps + 1)]
