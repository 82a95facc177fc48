"""Learning curves: training and validation in one panel for each metric."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfm.analysis.figures.style import BLACK, BLUE, RED, new_figure

_PARTS = {"train": ("training", BLUE, "-"), "val": ("validation", RED, "--")}
_WORDS = {"auc": "AUC", "dice": "Dice"}
_AXES = {"epoch": "epoch", "C": "C, the inverse of the regularisation"}
_BEST = "val_auc"


def draw_learning_curves(rows: pd.DataFrame) -> Figure:
    """Draw the metrics of each epoch, or those of each C of a linear classifier, and mark the one that was kept.

    Args:
        rows: as in metrics.csv: epoch or C, then train_METRIC and val_METRIC.
    """
    across = "epoch" if "epoch" in rows else "C"
    names = [name.split("_", 1) for name in rows.columns]
    metrics = list(dict.fromkeys(name[1] for name in names if name[0] in _PARTS))
    columns = min(3, len(metrics))
    lines = -(-len(metrics) // columns)
    figure = new_figure((0.4 + 3 * columns, 0.6 + 2.6 * lines))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, metric in zip(panels, metrics, strict=False):
        for part, (word, colour, line) in _PARTS.items():
            if (column := f"{part}_{metric}") in rows:
                marker = "o" if len(rows) < 3 else None  # one point makes no line
                axes.plot(rows[across], rows[column], color=colour, linestyle=line, marker=marker, label=word)
        if _BEST in rows:
            kept = float(rows[across].iloc[int(rows[_BEST].argmax())])
            axes.axvline(kept, color=BLACK, linestyle=":", linewidth=1, label=f"{across} {kept:g} was kept")
        axes.set(title=_WORDS.get(metric, metric.replace("_", " ")), xlabel=_AXES[across])
        if across == "C":
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in panels[len(metrics) :]:
        axes.remove()
    panels[0].legend(fontsize=8)
    return figure
