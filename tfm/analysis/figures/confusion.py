"""Confusion matrices: how many images of each class are called benign and malignant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import new_figure
from tfm.metrics.classification import Confusion

_MOST_COLUMNS = 4


def draw_confusion(evaluations: Mapping[str, Evaluation]) -> Figure:
    """Draw a matrix for each named evaluation, at the threshold chosen on validation."""
    columns = min(_MOST_COLUMNS, len(evaluations))
    rows = -(-len(evaluations) // columns)
    figure = new_figure((2.9 * columns + 0.4, 3.1 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, one) in zip(panels, evaluations.items(), strict=False):
        _draw_matrix(axes, one.confusion)
        axes.set_title(f"{name}\nthreshold {one.model.printed_threshold}", fontsize=9)
    for axes in panels[len(evaluations) :]:
        axes.remove()
    return figure


def _draw_matrix(axes: Axes, confusion: Confusion) -> None:
    """Colour each count by its share of the class, so that a rare class is as visible as a common one."""
    counts = np.array([[confusion.tn, confusion.fp], [confusion.fn, confusion.tp]])
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.1%}", ha="center", va="center", color=colour)
    names = ["benign", "malignant"]
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=names, xlabel="called", ylabel="truth")
    axes.set_yticklabels(names, rotation=90, va="center")
    axes.tick_params(length=0)
