"""A gallery of images next to their explanation maps, as wide as two columns of a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tfm.analysis.explanation.gallery import ExplainedImage
from tfm.analysis.figures.style import BLUE, GREEN, RED, SKY, WIDE, new_figure

_EVIDENCE = LinearSegmentedColormap.from_list("evidence", [BLUE, RED])
_OPACITY = 0.75  # of the highest value of a map
_LETTERS = 6.5
_ROWS = 4  # of one page
_TITLE_HEIGHT, _HEAD_HEIGHT = 0.55, 0.5  # inches


def split_into_pages(examples: Sequence[ExplainedImage]) -> list[Sequence[ExplainedImage]]:
    """Split a gallery into parts that fit on a page each."""
    each = _ROWS * _count_across(examples)
    return [examples[start : start + each] for start in range(0, len(examples), each)]


def draw_gallery(examples: Sequence[ExplainedImage], title: str) -> Figure:
    """Draw each image and its maps side by side: two images in a row where they have two maps each, else one."""
    panels, across = _count_panels(examples), _count_across(examples)
    down = -(-len(examples) // across)
    height, width = examples[0].image.shape
    row_height = WIDE[0] / (panels * across) * height / width + _TITLE_HEIGHT
    figure = new_figure((WIDE[0], row_height * down + _HEAD_HEIGHT))
    cells = figure.subfigures(down, across, squeeze=False).ravel()
    for cell, example in zip(cells, examples, strict=False):
        _draw_example(cell.subplots(1, panels, squeeze=False)[0], example)
        cell.suptitle(example.title, fontsize=_LETTERS, x=0.01, ha="left")
    figure.legend(
        handles=_make_legend(examples),
        loc="outside upper center",
        ncols=4,
        fontsize=_LETTERS,
        title=title,
        title_fontsize=9,
        frameon=False,
    )
    return figure


def _count_panels(examples: Sequence[ExplainedImage]) -> int:
    """Count the panels of the image with most maps: not every image is occluded."""
    return 1 + max(len(one.shares) + len(one.evidence) for one in examples)


def _count_across(examples: Sequence[ExplainedImage]) -> int:
    return 2 if _count_panels(examples) <= 3 else 1


def _draw_example(panels: Sequence[Axes], example: ExplainedImage) -> None:
    maps = list((example.shares | example.evidence).items())
    for axes in panels:
        axes.set_axis_off()
    for axes in panels[: 1 + len(maps)]:
        axes.imshow(example.image, cmap="gray", interpolation="nearest")
        for mask, colour in ((example.breast, SKY), (example.lesion, GREEN)):
            if mask.any() and not mask.all():  # else there is no outline
                axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
    for axes, (name, heat) in zip(panels, [("image", None), *maps], strict=False):
        if heat is not None and heat.any():
            top = float(np.abs(heat).max())
            if name in example.evidence:
                strength = np.abs(heat) / top * _OPACITY
                axes.imshow(heat, cmap=_EVIDENCE, alpha=strength, vmin=-top * 1e-3, vmax=top * 1e-3)
            else:
                axes.imshow(heat, cmap="inferno", alpha=0.55, vmin=0, vmax=top)
        axes.set_title(name if heat is None or heat.any() else f"{name}: empty", fontsize=_LETTERS)


def _make_legend(examples: Sequence[ExplainedImage]) -> list[Line2D | Patch]:
    outlines = [(SKY, "breast", [one.breast for one in examples]), (GREEN, "lesion", [one.lesion for one in examples])]
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, label=name)
        for colour, name, masks in outlines
        if any(mask.any() for mask in masks)
    ]
    if any(one.evidence for one in examples):
        handles += [Patch(color=RED, label="evidence for malignant"), Patch(color=BLUE, label="evidence for benign")]
    return handles
