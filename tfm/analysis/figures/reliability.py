"""A reliability diagram: how often images of each probability are malignant, before and after calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfm.analysis.calibration import calibrate_split, find_temperature
from tfm.analysis.evaluation import Evaluation
from tfm.analysis.figures.style import BLUE, GREY, RED, TALL, new_figure
from tfm.analysis.format_intervals import format_number
from tfm.metrics.calibration import BINS, bin_probabilities, find_bins
from tfm.metrics.intervals import compute_rate_interval


def draw_reliability(evaluation: Evaluation) -> Figure:
    """Draw the share of malignant images by probability, with the counts of the bins below."""
    figure = new_figure(TALL)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="as often as predicted")
    calibrated = calibrate_split(evaluation.model, evaluation.split)
    temperature = find_temperature(evaluation.model)
    for probs, metric, name, style in (
        (evaluation.probs, "calibration_error", "as predicted", {"color": BLUE, "marker": "o"}),
        (
            *(calibrated, "calibration_error_calibrated", f"calibrated (temperature {temperature:.2f})"),
            {"color": RED, "marker": "s", "linestyle": "--"},
        ),
    ):
        error = format_number(evaluation.metrics[metric].value)
        _draw_bins(upper, evaluation, probs, {**style, "label": f"{name}: error {error}"})
        edges = np.linspace(0, 1, BINS + 1)
        lower.stairs(np.bincount(find_bins(probs), minlength=BINS), edges, color=style["color"], linewidth=1.5)
    upper.set(ylabel="share that is malignant", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    handles, _ = upper.get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper center", fontsize=8)  # inside, it would hide bins
    lower.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    lower.set(xlabel="probability of malignancy", ylabel=f"{evaluation.model.protocol.unit} count")
    return figure


def _draw_bins(axes: Axes, evaluation: Evaluation, probs: np.ndarray, style: dict[str, Any]) -> None:
    """Draw each bin with the 95 % interval of its share."""
    bins, places = bin_probabilities(evaluation.labels, probs), find_bins(probs)
    shares = [
        compute_rate_interval(evaluation.labels[places == place] == 1, evaluation.patients[places == place])
        for place in np.unique(places)
    ]
    errors = np.array([[one.value - one.low, one.high - one.value] for one in shares]).T
    errors = np.nan_to_num(errors).clip(0)  # a bin with images of one patient has no interval
    axes.errorbar(bins.predicted, bins.observed, yerr=errors, **style, markersize=4, capsize=2, elinewidth=0.8)
