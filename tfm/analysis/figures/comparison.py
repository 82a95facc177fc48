"""The AUCs of several models side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tfm.analysis.figures.style import BLUE, GREY, new_figure

MOST_BARS = 50  # more do not fit on a page, and drawing them takes longer than all tests of 200 models


def draw_comparison(intervals: list[tuple[str, float, float, float]]) -> Figure:
    """Draw a bar for each (name, AUC, low, high), in the order of the table, and say so if that is not all of it."""
    shown = intervals[:MOST_BARS]
    left_out = f"; the first {len(shown)} of {len(intervals)} rows" if len(intervals) > MOST_BARS else ""
    figure = new_figure((7.2, 1.8 + 0.5 * len(shown)))
    axes = figure.subplots()
    places = np.arange(len(shown))[::-1]
    names = [name for name, *_ in shown]
    values, low, high = np.array([numbers for _, *numbers in shown]).T
    errors = np.nan_to_num([values - low, high - values]).clip(0)  # no error bar for an undefined interval
    axes.barh(places, values, xerr=errors, color=BLUE, alpha=0.6, capsize=4)
    axes.axvline(0.5, color=GREY, linestyle=":")
    label = f"AUC with 95 % interval (dotted: chance{left_out})"
    axes.set(xlim=(0, 1), xlabel=label, yticks=places, yticklabels=names)
    return figure
