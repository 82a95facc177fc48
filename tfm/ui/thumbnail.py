"""Draw a thumbnail with half blocks: each character shows two pixels, one above the other.

A terminal without colours or without that character shows no picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, pairwise

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

_UPPER_HALF = "▀"


def draw_blocks(rows: Sequence[str], console: Console) -> list[Text]:
    """Draw two rows of pixels as a line of text; `rows` hold two hex digits for each grey pixel."""
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
    """Shrink pixels to the terminal's width, keeping their proportions; never enlarge them."""
    columns = min(len(pixels[0]), width)
    lines = max(1, round(len(pixels) * columns / len(pixels[0])))
    narrow = [_average_pixels(row, columns) for row in pixels]
    low = [_average_pixels(column, lines) for column in zip(*narrow, strict=True)]
    return [[round(value) for value in row] for row in zip(*low, strict=True)]


def _average_pixels(line: Sequence[float], length: int) -> list[float]:
    """Resample a line to `length` pixels, each the mean of the pixels and parts of pixels that it covers."""
    if length == len(line):
        return list(line)
    sums = [0.0, *accumulate(line)]

    def up_to(place: float) -> float:
        whole = min(int(place), len(line) - 1)
        return sums[whole] + (place - whole) * line[whole]

    ends = [up_to(number * len(line) / length) for number in range(length + 1)]
    return [(end - start) * length / len(line) for start, end in pairwise(ends)]


def _draw_line(cells: Iterable[tuple[int | None, int | None]]) -> Text:
    """Join neighbours of the same colours into one span."""
    line = Text(no_wrap=True, overflow="crop")
    for (upper, lower), run in groupby(cells):
        line.append(_UPPER_HALF * len(list(run)), Style(color=_make_grey(upper), bgcolor=_make_grey(lower)))
    return line


def _make_grey(value: int | None) -> Color | None:
    return None if value is None else Color.from_rgb(value, value, value)
