"""ROC curves of one or several models."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import GREY, MOST_BANDS, SQUARE, draw_band, new_figure, place_legend, style_series
from tfm.analysis.format_intervals import format_interval
from tfm.metrics.curves import compute_roc_band, count_calls


def draw_roc(evaluations: Mapping[str, Evaluation]) -> Figure:
    """Draw the curve of each named model, and its point at the threshold chosen on validation.

    A split of one class has no curve. Bands are drawn for up to three models: more would hide each other.
    """
    figure = new_figure(SQUARE)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    for number, (name, one) in enumerate(evaluations.items()):
        if one.has_both_classes:
            _draw_model(axes, number, name, one, with_band=len(evaluations) <= MOST_BANDS)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    place_legend(figure, axes, "AUC (95 % interval); dots: thresholds of validation")
    return figure


def _draw_model(axes: Axes, number: int, name: str, one: Evaluation, *, with_band: bool) -> None:
    style = style_series(number)
    if with_band:
        draw_band(axes, compute_roc_band(one.labels, one.probs, one.patients), style["color"])
    calls = count_calls(one.labels, one.probs)
    label = f"{name}: {format_interval(one.auc)}"
    axes.plot(calls.false_positive_rates[0], calls.sensitivities[0], **style, label=label)
    place = 1 - one.confusion.specificity, one.confusion.sensitivity
    axes.plot(*place, "o", color=style["color"], markeredgecolor="white", zorder=3)
