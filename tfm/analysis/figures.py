"""Pictures of figures, as PNG files. Drawn on a canvas without a screen; every figure states its protocol."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from tfm.analysis.embedding_projection import ProjectedEmbeddings
from tfm.analysis.evaluation import Evaluation, format_interval
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.core import files

_DOTS_PER_INCH = 150
_CAPTION_WIDTH = 95  # letters
_LABELS = {"benign": "tab:blue", "malignant": "tab:red"}
_SPLITS = {"training": "tab:grey", "validation": "tab:orange", "test": "tab:green"}


def draw_roc(path: Path, trained: TrainedModel, judged: Evaluation) -> None:
    figure = Figure(figsize=(6, 6.6), layout="constrained")
    axes = figure.subplots()
    alarms, hits, _ = roc_curve(trained.predictions["label"], trained.predictions["prob"], drop_intermediate=False)
    axes.plot(alarms, hits, color="tab:blue", label=f"AUC {format_interval(judged.auc)}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    at = (1 - judged.rates["specificity"].value, judged.rates["sensitivity"].value)
    axes.plot(*at, "o", color="tab:red", label=f"threshold {trained.written_threshold}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=trained.model, aspect="equal")
    axes.legend(loc="lower right")
    save_figure(figure, path, trained.protocol.words)


def draw_comparison(path: Path, intervals: list[tuple[str, float, float, float]], protocol: Protocol) -> None:
    """AUCs as (name, value, low, high); best on top, as in the table."""
    figure = Figure(figsize=(7, 1.8 + 0.5 * len(intervals)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(intervals))[::-1]
    names = [name for name, *_ in intervals]
    values, low, high = np.array([numbers for _, *numbers in intervals]).T
    reach = np.nan_to_num([values - low, high - values])  # no bar where the data cannot carry an interval
    axes.barh(places, values, xerr=reach.clip(0), color="tab:blue", alpha=0.6, capsize=4)
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set(xlim=(0, 1), xlabel="AUC with 95 % interval (dotted: chance)", yticks=places, yticklabels=names)
    save_figure(figure, path, protocol.words)


def draw_embeddings(path: Path, projected: ProjectedEmbeddings, title: str, protocol: Protocol) -> None:
    """Each image a dot, twice: coloured by its label, and by its split."""
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    both = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, column, colours in zip(both, ("label", "split"), (_LABELS, _SPLITS), strict=True):
        for value, colour in colours.items():
            points = projected.table[projected.table[column] == value]
            axes.scatter(points["x"], points["y"], s=9, alpha=0.6, linewidths=0, color=colour, label=value)
        axes.set(title=f"by {column}", xlabel=projected.axes[0])
        axes.legend(markerscale=2)
    both[0].set_ylabel(projected.axes[1])
    figure.suptitle(title)
    save_figure(figure, path, protocol.of_data(projected.words))


def save_figure(figure: Figure, path: Path, words: str) -> None:
    figure.supxlabel(textwrap.fill(words, _CAPTION_WIDTH), fontsize=6, color="dimgrey")
    FigureCanvasAgg(figure)
    path.parent.mkdir(exist_ok=True)
    with files.write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
