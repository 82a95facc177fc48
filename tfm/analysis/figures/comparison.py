"""The AUCs of several models side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tfm.analysis.figures.style import BLUE, GREY, new_figure


def draw_comparison(intervals: list[tuple[str, float, float, float]]) -> Figure:
    """Draw a bar for each (name, AUC, low, high), in the order of the table."""
    figure = new_figure((7.2, 1.8 + 0.5 * len(intervals)))
    axes = figure.subplots()
    places = np.arange(len(intervals))[::-1]
    names = [name for name, *_ in intervals]
    values, low, high = np.array([numbers for _, *numbers in intervals]).T
    errors = np.nan_to_num([values - low, high - values]).clip(0)  # no error bar for an undefined interval
    axes.barh(places, values, xerr=errors, color=BLUE, alpha=0.6, capsize=4)
    axes.axvline(0.5, color=GREY, linestyle=":")
    axes.set(xlim=(0, 1), xlabel="AUC with 95 % interval (dotted: chance)", yticks=places, yticklabels=names)
    return figure
