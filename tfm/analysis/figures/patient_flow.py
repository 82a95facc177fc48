"""The flow diagram of patients: named by the case files, left out, and in each split."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tfm.analysis.figures.style import BLACK, BLUE, GREY, new_figure
from tfm.analysis.report.patient_flow import SPLIT_TITLES, Count, PatientFlow

_WIDTH = 7.2  # inches
_LINE, _GAP = 0.21, 0.42  # inches: the height of a line of text, and the space between boxes
_SIDE = 44  # characters of a line of the box at the side


def draw_patient_flow(flow: PatientFlow) -> Figure:
    left_out = _list_left_out(flow)
    heights = [_measure(2), _measure(len(left_out)), _measure(2), _measure(4)]
    figure = new_figure((_WIDTH, sum(heights) + 3 * _GAP))
    axes = figure.subplots()
    axes.set(xlim=(0, _WIDTH), ylim=(-sum(heights) - 3 * _GAP, 0))
    axes.axis("off")
    middle, half = 1.75, 1.6
    bottom = _draw_box(axes, middle, 0, half, ["Named by the case files", str(flow.named)])
    side_top = bottom - _GAP
    side_middle = side_top - heights[1] / 2
    _draw_box(axes, 5.4, side_top, 1.75, left_out, colour=GREY, align="left")
    kept_top = side_top - heights[1] - _GAP
    _draw_arrow(axes, (middle, bottom), (middle, kept_top))
    _draw_arrow(axes, (middle, side_middle), (5.4 - 1.75, side_middle))
    bottom = _draw_box(axes, middle, kept_top, half, ["In the dataset", str(flow.kept)])
    for place, (split, title) in zip((1.17, 3.6, 6.03), SPLIT_TITLES.items(), strict=True):
        lines = [title, *_describe_split(flow.splits[split], flow.labels[split])]
        _draw_box(axes, place, bottom - _GAP, 1.12, lines, colour=BLUE)
        _draw_arrow(axes, (middle, bottom), (place, bottom - _GAP))
    return figure


def describe_flow(flow: PatientFlow) -> str:
    """Say in words what the diagram shows."""
    splits = "; ".join(f"{title.lower()} {flow.splits[split]}" for split, title in SPLIT_TITLES.items())
    return f"The case files name {flow.named}. {' '.join(_list_left_out(flow))} The dataset has {flow.kept}: {splits}."


def _list_left_out(flow: PatientFlow) -> list[str]:
    parts = [f"{count.images:,} images of {count.patients:,} patients: {why}." for why, count in flow.left_out.items()]
    if flow.merged:
        parts.append(f"{flow.merged:,} patients are the same as another one.")
    if flow.left_out:
        parts.append(f"{flow.without_images:,} patients have no image left.")
    if not parts:
        return ["Left out: none."]
    return ["Left out:", *(line for part in parts for line in textwrap.wrap(part, _SIDE))]


def _describe_split(count: Count, labels: dict[str, int]) -> list[str]:
    return [str(count), *(f"{number:,} {label}" for label, number in labels.items())]


def _measure(lines: int) -> float:
    return _LINE * lines + 0.2


def _draw_box(
    axes: Axes, middle: float, top: float, half: float, lines: list[str], colour: str = BLACK, align: str = "center"
) -> float:
    """Draw a box with its text below `top`. Return the height of its lower edge."""
    height = _measure(len(lines))
    axes.add_patch(
        Rectangle((middle - half, top - height), 2 * half, height, facecolor="white", edgecolor=colour, linewidth=1.2)
    )
    left = middle - half + 0.1 if align == "left" else middle
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        height_of_line = top - 0.1 - _LINE * (number + 0.5)
        axes.text(left, height_of_line, line, ha=align, va="center", fontsize=8.5, weight=weight)
    return top - height


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": BLACK, "shrinkA": 0, "shrinkB": 0})
