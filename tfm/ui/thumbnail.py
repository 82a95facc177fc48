"""A thumbnail → half blocks: each character is two pixels, one above the other, as square as a terminal can.

Where a terminal has no colours or no such character, there is no picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, pairwise

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

_UPPER_HALF = "▀"


def draw_blocks(rows: Sequence[str], console: Console) -> list[Text]:
    """A line of text for every two rows of pixels; `rows` are as in a Picture: two hex digits a grey pixel."""
    if not rows or not _can_draw(console):
        return []
    pixels: list[Sequence[int | None]] = [*_fit_width([bytes.fromhex(row) for row in rows], console.width)]
    if len(pixels) % 2:
        pixels.append([None] * len(pixels[0]))
    return [_draw_line(zip(upper, lower, strict=True)) for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)]


def _can_draw(console: Console) -> bool:
    if console.color_system not in ("truecolor", "256", "windows") or console.no_color:
        return False
    try:
        _UPPER_HALF.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _fit_width(pixels: Sequence[Sequence[float]], width: int) -> list[list[int]]:
    """No wider than the terminal, its proportions kept; never larger than it is."""
    columns = min(len(pixels[0]), width)
    lines = max(1, round(len(pixels) * columns / len(pixels[0])))
    narrow = [_average_pixels(row, columns) for row in pixels]
    low = [_average_pixels(column, lines) for column in zip(*narrow, strict=True)]
    return [[round(value) for value in row] for row in zip(*low, strict=True)]


def _average_pixels(line: Sequence[float], length: int) -> list[float]:
    """A line of pixels as `length` equal stretches, each the mean of what it covers, shares of pixels included."""
    if length == len(line):
        return list(line)
    sums = [0.0, *accumulate(line)]

    def up_to(place: float) -> float:
        whole = min(int(place), len(line) - 1)
        return sums[whole] + (place - whole) * line[whole]

    ends = [up_to(number * len(line) / length) for number in range(length + 1)]
    return [(end - start) * length / len(line) for start, end in pairwise(ends)]


def _draw_line(cells: Iterable[tuple[int | None, int | None]]) -> Text:
    """Neighbours of one look are one span."""
    line = Text(no_wrap=True, overflow="crop")
    for (upper, lower), run in groupby(cells):
        line.append(_UPPER_HALF * len(list(run)), Style(color=_make_grey(upper), bgcolor=_make_grey(lower)))
    return line


def _make_grey(value: int | None) -> Color | None:
    return None if value is None else Color.from_rgb(value, value, value)
