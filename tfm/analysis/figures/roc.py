"""ROC curves of one or several models."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import GREY, SQUARE, new_figure, style_series
from tfm.analysis.format_intervals import format_interval
from tfm.metrics.curves import count_calls


def draw_roc(evaluations: Mapping[str, Evaluation]) -> Figure:
    """Draw the curve of each named model, and its point at the threshold chosen on validation. A split of one class
    has no curve."""
    figure = new_figure(SQUARE)
    axes = figure.subplots()
    for number, (name, one) in enumerate(evaluations.items()):
        if not one.has_both_classes:
            continue
        style = style_series(number)
        calls = count_calls(one.labels, one.probs)
        axes.plot(
            calls.false_positive_rates[0], calls.sensitivities[0], **style, label=f"{name}: {format_interval(one.auc)}"
        )
        axes.plot(
            1 - one.confusion.specificity, one.confusion.sensitivity, "o", color=style["color"], markeredgecolor="white"
        )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", title="AUC (95 % interval); dots: thresholds", fontsize=8, title_fontsize=8)
    return figure
