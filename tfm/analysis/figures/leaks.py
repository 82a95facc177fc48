"""What each way to split claims, and what is true on patients that no run has seen, joined by a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfm.analysis.figures.style import BLUE, GREY, RED, new_figure
from tfm.analysis.leaks import Claim
from tfm.metrics.intervals import Interval

_BESIDE = 0.12  # between the two intervals of a row


def draw_claims(claims: Sequence[Claim]) -> Figure:
    figure = new_figure((7.2, 1.4 + 0.6 * len(claims)))
    axes = figure.subplots()
    rows = np.arange(len(claims))[::-1]
    for intervals, shift, colour, marker, words in (
        ([one.claimed["auc"] for one in claims], _BESIDE, RED, "D", "claimed"),
        ([one.outside["auc"] for one in claims], -_BESIDE, BLUE, "o", "on patients that no run has seen"),
    ):
        values, errors = _prepare_bars(intervals)
        axes.errorbar(values, rows + shift, xerr=errors, fmt=marker, color=colour, capsize=3, label=words)
    axes.axvline(0.5, color=GREY, linestyle=":")
    axes.set(xlim=(0, 1.02), ylim=(-0.6, len(claims) - 0.4), xlabel="AUC with 95 % interval (dotted: chance)")
    axes.set_yticks(rows, [one.name for one in claims])
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _prepare_bars(intervals: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    values, low, high = np.array([[one.value, one.low, one.high] for one in intervals]).T
    return values, np.nan_to_num([values - low, high - values]).clip(0)
