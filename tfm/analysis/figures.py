"""Figures as PNG files, drawn without a display. Each figure states its protocol."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from tfm.analysis.embedding_projection import ProjectedEmbeddings
from tfm.analysis.evaluation import Evaluation
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.trained_run import Protocol, TrainedModel
from tfm.core import files

_LABEL_COLOURS = {"benign": "tab:blue", "malignant": "tab:red"}
_SPLIT_COLOURS = {"training": "tab:grey", "validation": "tab:orange", "test": "tab:green"}


def draw_roc(path: Path, model: TrainedModel, evaluation: Evaluation) -> None:
    figure = Figure(figsize=(6, 6.6), layout="constrained")
    axes = figure.subplots()
    labels, probs = model.predictions["label"], model.predictions["prob"]
    false_positive_rates, sensitivities, _ = roc_curve(labels, probs, drop_intermediate=False)
    axes.plot(false_positive_rates, sensitivities, color="tab:blue", label=f"AUC {format_interval(evaluation.auc)}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    at_threshold = (1 - evaluation.rates["specificity"].value, evaluation.rates["sensitivity"].value)
    axes.plot(*at_threshold, "o", color="tab:red", label=f"threshold {model.printed_threshold}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=model.model, aspect="equal")
    axes.legend(loc="lower right")
    save_figure(figure, path, model.protocol.caption)


def draw_comparison(path: Path, intervals: list[tuple[str, float, float, float]], protocol: Protocol) -> None:
    """Draw a bar for each (name, AUC, low, high), in the order of the table."""
    figure = Figure(figsize=(7, 1.8 + 0.5 * len(intervals)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(intervals))[::-1]
    names = [name for name, *_ in intervals]
    values, low, high = np.array([numbers for _, *numbers in intervals]).T
    errors = np.nan_to_num([values - low, high - values]).clip(0)  # no error bar for an undefined interval
    axes.barh(places, values, xerr=errors, color="tab:blue", alpha=0.6, capsize=4)
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set(xlim=(0, 1), xlabel="AUC with 95 % interval (dotted: chance)", yticks=places, yticklabels=names)
    save_figure(figure, path, protocol.caption)


def draw_embeddings(path: Path, projected: ProjectedEmbeddings, title: str, protocol: Protocol) -> None:
    """Draw each image as a dot in two panels: coloured by label and by split."""
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, column, colours in zip(panels, ("label", "split"), (_LABEL_COLOURS, _SPLIT_COLOURS), strict=True):
        for value, colour in colours.items():
            points = projected.table[projected.table[column] == value]
            axes.scatter(points["x"], points["y"], s=9, alpha=0.6, linewidths=0, color=colour, label=value)
        axes.set(title=f"by {column}", xlabel=projected.axes[0])
        axes.legend(markerscale=2)
    panels[0].set_ylabel(projected.axes[1])
    figure.suptitle(title)
    save_figure(figure, path, protocol.describe_with_dataset(projected.caption))


def save_figure(figure: Figure, path: Path, caption: str) -> None:
    figure.supxlabel(textwrap.fill(caption, width=95), fontsize=6, color="dimgrey")
    FigureCanvasAgg(figure)
    path.parent.mkdir(exist_ok=True)
    with files.write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
