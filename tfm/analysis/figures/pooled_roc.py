"""ROC curves of pooled out-of-fold predictions."""

from __future__ import annotations

from matplotlib.figure import Figure

from tfm.analysis.comparison import OutOfFoldRanking
from tfm.analysis.figures.style import GREY, SQUARE, new_figure, style_series
from tfm.analysis.format_intervals import format_interval
from tfm.metrics.curves import count_calls
from tfm.metrics.intervals import compute_auc_interval


def draw_pooled_roc(ranking: OutOfFoldRanking) -> Figure:
    """Draw a curve for each model and seed; all seeds of a model have one style."""
    figure = new_figure(SQUARE)
    axes = figure.subplots()
    for number, (name, pooled) in enumerate(ranking.entries):
        label = f"{name}: {format_interval(compute_auc_interval(pooled.estimate))}"
        for seed, probs in enumerate(pooled.probs.T):
            calls = count_calls(pooled.labels, probs)
            axes.plot(
                calls.false_positive_rates[0],
                calls.sensitivities[0],
                **style_series(number),
                label=label if seed == 0 else None,
            )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", title="out-of-fold AUC (95 % interval)", fontsize=8, title_fontsize=8)
    return figure
