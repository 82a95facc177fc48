"""Images after each imaging step, a row for each image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfm.analysis.figures.style import RED, SKY, new_figure
from tfm.imaging.contact_sheet import Row, Tile

_SIDE = 360  # pixels: the longer side of an image in the figure
_WIDTH, _TITLES = 7.2, 0.5  # inches


def draw_preprocessing(rows: Sequence[Row]) -> Figure:
    columns = max(len(row.tiles) for row in rows)
    heights = [max(tile.image.shape[0] / tile.image.shape[1] for tile in row.tiles) for row in rows]
    inches = [height * _WIDTH / columns + _TITLES for height in heights]
    figure = new_figure((_WIDTH, sum(inches)))
    parts = figure.subfigures(len(rows), height_ratios=inches, squeeze=False)[:, 0]
    for row, part in zip(rows, parts, strict=True):
        part.suptitle(row.title, fontsize=8, x=0.01, ha="left")
        line = part.subplots(1, columns, squeeze=False)[0]
        for axes in line:
            axes.axis("off")
            axes.set_anchor("N")
        for tile, axes in zip(row.tiles, line, strict=False):
            _draw_tile(axes, tile)
    return figure


def _draw_tile(axes: Axes, tile: Tile) -> None:
    image = _shrink(tile.image)
    axes.imshow(image, cmap="gray", vmin=0, vmax=np.iinfo(image.dtype).max, interpolation="nearest")
    axes.set_title(textwrap.fill(tile.caption, 14), fontsize=6.5, loc="left", y=1.0)
    for mask, colour in ((tile.breast, SKY), (tile.lesions, RED)):
        if mask is not None:
            small = _shrink(np.asarray(mask > 0, np.uint8) * np.uint8(255))
            if small.any():
                axes.contour(small, levels=[64], colors=[colour], linewidths=0.8)


def _shrink(image: np.ndarray) -> np.ndarray:
    scale = _SIDE / max(image.shape)
    if scale >= 1:
        return image
    size = tuple(max(1, round(length * scale)) for length in image.shape[::-1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
