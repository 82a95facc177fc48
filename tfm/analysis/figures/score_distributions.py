"""The distributions of probabilities of benign and malignant images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import BLACK, LABEL_COLOURS, new_figure

_BINS = np.linspace(0, 1, 31)


def draw_score_distributions(evaluations: Mapping[str, Evaluation]) -> Figure:
    """Draw the histograms of each named evaluation below each other, with the threshold chosen on validation."""
    figure = new_figure((7.2, 0.9 + 2.3 * len(evaluations)))
    panels = figure.subplots(len(evaluations), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, one) in zip(panels, evaluations.items(), strict=True):
        for label, (word, colour) in enumerate(LABEL_COLOURS.items()):
            probs = one.probs[one.labels == label]
            hatch = "///" if word == "malignant" else None  # tells the classes apart without colours
            axes.hist(probs, _BINS, color=colour, alpha=0.45, hatch=hatch, label=f"{word} ({probs.size})")
        axes.axvline(one.model.threshold, color=BLACK, linestyle="--", label=f"threshold {one.model.printed_threshold}")
        axes.set(title=name, ylabel=f"{one.model.protocol.unit} count", xlim=(-0.01, 1.01))
        axes.legend(fontsize=8)
    panels[-1].set_xlabel("probability of malignancy")
    return figure
