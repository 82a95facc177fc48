"""The style of all figures, and how they are saved: without a display, as PNG and PDF, with nothing clipped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfm.core import files
from tfm.metrics.curves import Band

# Okabe and Ito (2008): people with any kind of colour blindness can tell these apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK, GREY = "#0072B2", "#D55E00", "#CC79A7", "#767676"
SERIES = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK)  # of several models, in this order
LINE_STYLES = ("-", "--", "-.", ":")  # tell models apart where the colours start again
LABEL_COLOURS = {"benign": BLUE, "malignant": RED}
SPLIT_COLOURS = {"training": GREY, "validation": ORANGE, "test": GREEN}

SQUARE = (5.6, 6.0)  # inches
WIDE = (7.2, 4.4)
TALL = (5.6, 7.0)
MOST_BANDS = 3  # models in one figure whose bands do not hide each other
_MOST_INSIDE = 5  # entries of a legend that do not hide curves
_DPI = 150
_MARGIN = 0.1  # inches
_CAPTION_SIZE, _CHARACTERS_PER_INCH = 6.0, 19  # of the caption's letters


def new_figure(size: tuple[float, float] = SQUARE) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_series(number: int) -> dict[str, Any]:
    """Return the colour and line style of the model with this number. 28 models look different."""
    return {
        "color": SERIES[number % len(SERIES)],
        "linestyle": LINE_STYLES[number // len(SERIES) % len(LINE_STYLES)],
    }


def draw_band(axes: Axes, band: Band, colour: str) -> None:
    axes.fill_between(band.at, band.low, band.high, color=colour, alpha=0.15, linewidth=0)


def place_legend(figure: Figure, axes: Axes, title: str) -> None:
    """Place a short legend at the lower right of the axes, and a long one below the figure."""
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) <= _MOST_INSIDE:
        axes.legend(loc="lower right", title=title, fontsize=8, title_fontsize=8)
    else:
        place_legend_below(figure, axes, title)


def place_legend_below(figure: Figure, axes: Axes, title: str) -> None:
    handles, _ = axes.get_legend_handles_labels()
    figure.set_figheight(figure.get_figheight() + 0.19 * len(handles))
    figure.legend(handles=handles, loc="outside lower center", title=title, fontsize=8, title_fontsize=8)


def save_figure(
    figure: Figure, folder: Path, name: str, caption: str = "", kinds: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Write NAME.png and NAME.pdf, or the given kinds, with the caption below the figure. Return their paths."""
    if caption:
        width = int(figure.get_figwidth() * _CHARACTERS_PER_INCH)
        text = textwrap.fill(caption, width=width)
        # Below the figure, where no legend is: the files end where the caption does.
        figure.text(0.5, -0.01, text, ha="center", va="top", fontsize=_CAPTION_SIZE, color="dimgrey")
    _fix_legends(figure)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in kinds]
    for path in paths:
        ending = path.suffix.removeprefix(".")
        # Without a date, the same figure is the same file.
        options = {"metadata": {"CreationDate": None}} if ending == "pdf" else {"dpi": _DPI}
        with files.write_atomically(path) as temporary:
            figure.savefig(temporary, format=ending, bbox_inches="tight", pad_inches=_MARGIN, **options)
    return paths


def _fix_legends(figure: Figure) -> None:
    """Keep legends outside the axes where they are arranged: cropping a figure would move them over other parts."""
    figure.draw_without_rendering()
    for legend in figure.legends:
        place = legend.get_window_extent().transformed(figure.transFigure.inverted())
        legend.set_loc("center")
        legend.set_bbox_to_anchor(place, transform=figure.transFigure)
    figure.set_layout_engine("none")
