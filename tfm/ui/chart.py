"""Draw curves over epochs with characters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.text import Text

_LABEL, _FEWEST_ROWS = 8, 3  # columns before the axis; a chart of fewer rows shows nothing


def choose_score(metrics: Mapping[str, Sequence[float]]) -> str:
    """The score to draw: the last one of both training and validation, else of validation. Empty without any."""
    of_validation = [name.removeprefix("val_") for name in metrics if name.startswith("val_")]
    scores = [name for name in of_validation if "loss" not in name]
    of_both = [name for name in scores if f"train_{name}" in metrics]
    return next((names[-1] for names in (of_both, scores, of_validation) if names), "")


def draw_chart(metrics: Mapping[str, Sequence[float]], epochs: int, width: int, height: int) -> Text:
    """Draw the score of validation as a line and that of training as dots, below a line of the last and best values.

    Args:
        epochs: The width of the chart in epochs, of which those done are drawn.
    """
    score = choose_score(metrics)
    validation, training = metrics[f"val_{score}"], metrics.get(f"train_{score}", [])
    axis = next(iter(metrics))  # the epoch; of a regression, its penalty
    drawn = _draw_legend(score, axis, metrics, validation, training)
    columns = width - _LABEL - 1
    done = min(columns, max(1, round(columns * len(validation) / max(epochs, len(validation)))))
    line, dots = (_spread(values, done) for values in (validation, training))
    finite = [value for value in (*line, *dots) if math.isfinite(value)]
    rows = height - 2
    if rows < _FEWEST_ROWS or not finite:
        return drawn
    low, high = min(finite), max(finite)
    steps = [[_find_row(value, low, high, rows) for value in values] for values in (line, dots)]
    cells = [[(" ", "")] * columns for _ in range(rows)]
    for column, row in enumerate(steps[1]):
        if row is not None:
            cells[row][column] = ("·", "bright_black")
    _draw_line(cells, steps[0])
    for row, row_cells in enumerate(cells):
        label = f"{high - (high - low) * row / (rows - 1):.3f}" if row in (0, rows // 2, rows - 1) else ""
        drawn.append(f"\n{label:>{_LABEL - 1}} {'┤' if label else '│'}", "bright_black")
        for character, style in row_cells:
            drawn.append(character, style)
    is_epoch = axis == "epoch"
    first = f"{axis} {metrics[axis][0]:g}"
    last = str(max(epochs, len(validation))) if is_epoch else f"{metrics[axis][-1]:g}"
    drawn.append("\n" + " " * _LABEL + "└" + first + last.rjust(columns - len(first)), "bright_black")
    return drawn


def _draw_legend(
    score: str,
    axis: str,
    metrics: Mapping[str, Sequence[float]],
    validation: Sequence[float],
    training: Sequence[float],
) -> Text:
    name = score.replace("_", " ").replace("auc", "AUC")
    finite = [(value, place) for value, place in zip(validation, metrics[axis], strict=True) if math.isfinite(value)]
    drawn = Text(f"{name}  ", "bold").append(f"─ validation {validation[-1]:.3f}", "not bold cyan")
    if finite:
        value, place = min(finite) if "loss" in score else max(finite, key=lambda one: one[0])
        drawn.append(f", best {value:.3f} ({axis} {place:g})", "not bold cyan")
    if training:
        drawn.append(f"   · training {training[-1]:.3f}", "not bold bright_black")
    drawn.no_wrap = True
    return drawn


def _spread(values: Sequence[float], columns: int) -> list[float]:
    """A value for each column: between two epochs, or the mean of several."""
    if not values:
        return []
    if len(values) > columns:
        ends = [round(column * len(values) / columns) for column in range(columns + 1)]
        groups = [[value for value in values[first:last] if math.isfinite(value)] for first, last in pairwise(ends)]
        return [sum(group) / len(group) if group else math.nan for group in groups]
    places = [column * (len(values) - 1) / max(columns - 1, 1) for column in range(columns)]
    after = [*values[1:], values[-1]]
    return [
        values[int(place)] + (after[int(place)] - values[int(place)]) * (place % 1) if place % 1 else values[int(place)]
        for place in places
    ]


def _find_row(value: float, low: float, high: float, rows: int) -> int | None:
    if not math.isfinite(value):
        return None
    return round((high - value) / (high - low) * (rows - 1)) if high > low else rows // 2


def _draw_line(cells: list[list[tuple[str, str]]], steps: Sequence[int | None]) -> None:
    """Draw a line through a row of each column; None leaves a gap."""
    for column, (row, following) in enumerate(pairwise([*steps, steps[-1]])):
        if row is None:
            continue
        if following is None or following == row:
            cells[row][column] = ("─", "cyan")
            continue
        falls = following > row
        cells[row][column] = ("╮" if falls else "╯", "cyan")
        cells[following][column] = ("╰" if falls else "╭", "cyan")
        for between in range(min(row, following) + 1, max(row, following)):
            cells[between][column] = ("│", "cyan")
