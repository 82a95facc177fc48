"""Embeddings of images, projected to two dimensions."""

from __future__ import annotations

from matplotlib.figure import Figure

from tfm.analysis.embedding_projection import ProjectedEmbeddings
from tfm.analysis.figures.style import LABEL_COLOURS, SPLIT_COLOURS, new_figure


def draw_embeddings(projected: ProjectedEmbeddings, title: str) -> Figure:
    """Draw each image as a dot in two panels: coloured by label and by split."""
    figure = new_figure((10, 5.2))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, column, colours in zip(panels, ("label", "split"), (LABEL_COLOURS, SPLIT_COLOURS), strict=True):
        for value, colour in colours.items():
            points = projected.table[projected.table[column] == value]
            axes.scatter(points["x"], points["y"], s=9, alpha=0.6, linewidths=0, color=colour, label=value)
        axes.set(title=f"by {column}", xlabel=projected.axes[0])
        axes.legend(markerscale=2)
    panels[0].set_ylabel(projected.axes[1])
    figure.suptitle(title)
    return figure
