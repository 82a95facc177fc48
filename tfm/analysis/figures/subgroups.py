"""The AUC of a model in subgroups of its images, beside that of all images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import BLUE, GREY, new_figure
from tfm.analysis.format_intervals import format_number
from tfm.analysis.subgroups import GROUPINGS, Subgroup


def draw_subgroups(evaluation: Evaluation, subgroups: Sequence[Subgroup]) -> Figure:
    """Draw a line for each subgroup, with its counts. One with too few patients has no AUC."""
    figure = new_figure((7.2, 1.4 + 0.27 * len(subgroups)))
    axes = figure.subplots()
    axes.axvspan(evaluation.auc.low, evaluation.auc.high, color=GREY, alpha=0.15, linewidth=0)
    axes.axvline(evaluation.auc.value, color=GREY, linestyle="--")
    for place, one in enumerate(subgroups):
        auc = one.metrics["auc"]
        if math.isfinite(auc.value):
            axes.plot([auc.low, auc.high], [place, place], color=BLUE, linewidth=1.2)
            axes.plot(auc.value, place, "o", color=BLUE, markersize=5)
        else:
            axes.text(0.01, place, "too few patients", fontsize=7, color=GREY, va="center")
    names = [
        f"{GROUPINGS[one.grouping]} {one.value} ({one.images} images, {one.malignant} malignant)" for one in subgroups
    ]
    overall = f"AUC with 95 % interval (line and band: all images, {format_number(evaluation.auc.value)})"
    axes.set(xlim=(0, 1.01), ylim=(len(subgroups) - 0.5, -0.5), xlabel=overall)
    axes.set_yticks(range(len(subgroups)), names, fontsize=8)
    return figure
