"""Precision-recall curves of one or several models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import GREY, MOST_BANDS, SQUARE, draw_band, new_figure, place_legend_below, style_series
from tfm.analysis.format_intervals import format_interval
from tfm.metrics.curves import compute_precision_recall_band, count_calls


def draw_precision_recall(evaluations: Mapping[str, Evaluation]) -> Figure:
    """Draw the curve of each named model on the same images, and its point at the threshold of validation."""
    figure = new_figure(SQUARE)
    axes = figure.subplots()
    share = float(np.mean([one.labels.mean() for one in evaluations.values()]))
    axes.axhline(share, color=GREY, linestyle=":", label=f"chance: {share:.3f} malignant")
    for number, (name, one) in enumerate(evaluations.items()):
        if one.has_both_classes:
            _draw_model(axes, number, name, one, with_band=len(evaluations) <= MOST_BANDS)
    labels = {"xlabel": "sensitivity (recall)", "ylabel": "precision"}
    axes.set(**labels, aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    # Curves cross every corner: the first thresholds have any precision.
    place_legend_below(figure, axes, "average precision; dots: thresholds of validation")
    return figure


def _draw_model(axes: Axes, number: int, name: str, one: Evaluation, *, with_band: bool) -> None:
    style = style_series(number)
    if with_band:
        draw_band(axes, compute_precision_recall_band(one.labels, one.probs, one.patients), style["color"])
    calls = count_calls(one.labels, one.probs)
    label = f"{name}: {format_interval(one.metrics['average_precision'])}"
    # Steps: between two thresholds, a straight line would promise a precision that no threshold has.
    axes.step(calls.sensitivities[0, 1:], calls.precisions[0, 1:], where="pre", **style, label=label)
    place = one.confusion.sensitivity, one.confusion.precision
    axes.plot(*place, "o", color=style["color"], markeredgecolor="white", zorder=3)
