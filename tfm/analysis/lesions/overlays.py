"""Figures of the best, median and worst segmentations, outlined next to the true lesions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfm.analysis.figures.style import save_figure

_TRUTH, _PREDICTION = "lime", "orangered"


@dataclass(frozen=True)
class Case:
    name: str
    dice: float
    image: np.ndarray  # (H, W) uint8 or uint16
    truth: np.ndarray  # (H, W) bool
    prediction: np.ndarray  # (H, W) bool


def choose_cases(dice: np.ndarray) -> dict[str, list[int]]:
    """Choose the places of the best, median and worst Dice (n,). With one or two images, a place occurs repeatedly."""
    order = np.argsort(-dice, kind="stable")
    each = max(1, min(3, len(order) // 3))
    middle = (len(order) - each) // 2
    parts = {"best": order[:each], "median": order[middle : middle + each], "worst": order[len(order) - each :]}
    return {name: part.tolist() for name, part in parts.items()}


def draw_overlays(path: Path, cases: dict[str, list[Case]], protocol: str) -> None:
    columns = max(map(len, cases.values()))
    figure = Figure(figsize=(2.6 * columns, 3.1 * len(cases) + 0.7), layout="constrained")
    grid = figure.subplots(len(cases), columns, squeeze=False)
    for row, (kind, group) in zip(grid, cases.items(), strict=True):
        for axes, case in zip(row, group, strict=True):
            axes.imshow(case.image, cmap="gray", interpolation="nearest")
            for mask, colour in ((case.truth, _TRUTH), (case.prediction, _PREDICTION)):
                if mask.any():
                    # Padded, so that the outline is closed where the mask touches the border of the image.
                    x, y = range(-1, mask.shape[1] + 1), range(-1, mask.shape[0] + 1)
                    axes.contour(x, y, np.pad(mask, 1), levels=[0.5], colors=[colour], linewidths=1)
            axes.set_title(f"{kind}: Dice {case.dice:.2f}\n{case.name}", fontsize=7)
            axes.set_axis_off()
    labels = ((_TRUTH, "truth"), (_PREDICTION, "prediction"))
    lines = [Line2D([], [], color=colour, label=label) for colour, label in labels]
    figure.legend(handles=lines, loc="outside upper right", ncols=2, fontsize=7)
    save_figure(figure, path.parent, path.stem, protocol)
