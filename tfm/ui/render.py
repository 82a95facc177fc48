"""Draw events with rich; one function draws each kind."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.events import IntervalChart, Note, Picture, Table, TableRow
from tfm.ui import thumbnail
from tfm.ui.run_state import Bar
from tfm.ui.spell_references import find_commands, spell
from tfm.ui.text_console import TextConsole

_LONGEST_WORD = 24  # characters; a longer word may be broken
_DIGITS = ("", "<", *"0123456789")  # the first characters of a number
_INTERVAL = re.compile(r"[-−\d.–]+ \w+ [-−\d.–]+")  # the word is "to" in any language
_VALUE_AND_INTERVAL = re.compile(rf"^([-−\d.]+) \(({_INTERVAL.pattern})\)$")
_SLOW = 0.2  # per second; below it, the time for each is shown
_STATE_STYLES = {
    "running": "cyan",
    "done": "green",
    "failed": "red",
    "halted": "yellow",
    "paused": "yellow",
    "pruned": "bright_black",
    "waiting": "bright_black",
}


create_console = TextConsole


def print_error(console: Console, error: TFMError) -> None:
    hint = Text("What to do: ", style="bold").append(Text(spell(error.hint), style="not bold"))
    panel = Panel(Group(Text(spell(error.message)), Text(), hint), title="error", border_style="red")
    _print_with_commands(console, panel, f"{error.message}\n{error.hint}")


def print_note(console: Console, event: Note) -> None:
    _print_with_commands(console, format_note(event), event.text)


def _print_with_commands(console: Console, drawn: RenderableType, text: str) -> None:
    """Print a text; repeat a command below it if the window breaks it, so that it can be copied."""
    console.print(drawn)
    lines = ["".join(segment.text for segment in line) for line in console.render_lines(drawn)]
    for command in find_commands(text):
        if not any(command in line for line in lines):
            console.print(Text(command, style="dim"), soft_wrap=True)


def format_state(name: str) -> Text:
    return Text(name, style=_STATE_STYLES.get(name, ""))


def format_note(event: Note) -> Text:
    is_warning = event.level == "warning"
    return Text(("! " if is_warning else "· ") + spell(event.text), style="yellow" if is_warning else "")


def format_silence(since: datetime) -> Text:
    return Text(f"not responding: no sign of life since {since:%H:%M:%S}", style="yellow")


def draw_event(event: Table | IntervalChart | Picture, console: Console) -> RenderableType:
    match event:
        case Table():
            return draw_table(event, console.width)
        case IntervalChart():
            return draw_intervals(event, console.width)
        case Picture():
            line = Text(f"{spell(event.title)}: {event.path}", style="cyan")
            return Group(*thumbnail.draw_blocks(event.thumbnail, console), line)


def draw_table(event: Table, width: int) -> RenderableType:
    rows = [[*map(spell, row)] for row in event.rows]
    event = Table(spell(event.title), [*map(spell, event.columns)], rows, spell(event.caption))
    if _compute_widest(event) > width:  # an interval goes below its value, which is easier to read than any other break
        event = replace(event, rows=[[_VALUE_AND_INTERVAL.sub(r"\1\n\2", cell) for cell in row] for row in rows])
    widths = _compute_widths(event, width)
    shown = _build_grid(event, widths) if widths else _stack_rows(event)
    return Group(shown, Text(event.caption, style="dim")) if event.caption else shown


def _build_grid(event: Table, widths: list[int]) -> RichTable:
    grid = RichTable(
        title=Text(event.title, no_wrap=True) if event.title else None,
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        show_header=any(event.columns),
    )
    for number, (column, wide) in enumerate(zip(event.columns, widths, strict=True)):
        figures = all(row[number][:1] in _DIGITS or row[number] in ("–", "—", "nan") for row in event.rows)
        grid.add_column(column, justify="right" if figures else "left", overflow="fold", width=wide)
    for row in event.rows:
        grid.add_row(*map(Text, row))  # as Text: brackets in a name are not markup
    return grid


def _compute_widest(event: Table) -> int:
    """The width of the table if no cell is broken."""
    cells = zip(event.columns, *event.rows, strict=True)
    return sum(max(cell_len(line) for cell in column for line in [*cell.splitlines(), ""]) + 2 for column in cells)


def _compute_widths(event: Table, width: int) -> list[int]:
    """The width of each column: its longest word, and a share of the rest. Empty if the columns do not fit.

    Headings break before rows do.
    """
    cells = list(zip(event.columns, *event.rows, strict=True))
    most = [max((cell_len(line) for cell in column for line in cell.splitlines()), default=0) for column in cells]
    words = [max((cell_len(word) for cell in column for word in _split_words(cell)), default=1) for column in cells]
    least = [min(widest, _LONGEST_WORD) for widest in words]
    rows = [max((cell_len(line) for cell in column[1:] for line in cell.splitlines()), default=0) for column in cells]
    whole = [max(pair) for pair in zip(least, rows, strict=True)]
    if sum(whole) + 2 * len(cells) - 1 <= width:
        least = whole
    spare = width - sum(least) - 2 * len(cells) + 1  # a space behind each, and one between two
    wanted = [much - little for much, little in zip(most, least, strict=True)]
    if spare < 0:
        return []
    share = min(1.0, spare / max(sum(wanted), 1))
    return [little + int(share * more) for little, more in zip(least, wanted, strict=True)]


def _split_words(cell: str) -> list[str]:
    """Split at spaces. A line that is an interval stays whole."""
    lines = cell.splitlines()
    return [word for line in lines for word in ([line] if _INTERVAL.fullmatch(line) else line.split())]


def _stack_rows(event: Table) -> RichTable:
    """Show each row as a list of its cells, if the columns do not fit beside each other."""
    stack = RichTable(title=Text(event.title), title_justify="left", title_style="bold", box=None, show_header=False)
    stack.add_column(style="bold cyan")
    stack.add_column(overflow="fold")
    for row in event.rows:
        for column, cell in zip(event.columns, row, strict=True):
            stack.add_row(column, Text(cell))
        stack.add_row()
    return stack


def format_results(values: Mapping[str, Any]) -> dict[str, str]:
    """Plain results of a stage: measured values, then counts, then words."""
    plain = [one for one in values.items() if isinstance(one[1], str | int | float) and one[0] != "run"]
    plain.sort(key=lambda one: (not isinstance(one[1], float), isinstance(one[1], str)))
    return {
        name.replace("_", " "): _format_measured(value) if isinstance(value, float) else spell(str(value))
        for name, value in plain
    }


def _format_measured(value: float) -> str:
    """Three decimals; of a smaller value, such as a learning rate, three figures."""
    return f"{value:.3g}" if 0 < abs(value) < 0.001 else f"{value:.3f}"


def draw_lines(lines: Sequence[TableRow], width: int, most: int) -> Text:
    """Draw the last lines of a growing table as plain text, which is fast: it is redrawn several times a second."""
    kept = lines[-most:]
    title = kept[0].title + (f", the last {len(kept)} of {len(lines)}" if len(kept) < len(lines) else "")
    rows = [kept[0].columns, *(line.cells for line in kept)]
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    shown = sum(used <= width - 2 for used in accumulate(widths))
    ends = " …" if shown < len(widths) else ""
    head, *body = ("".join(cell.ljust(room) for cell, room in zip(row[:shown], widths, strict=False)) for row in rows)
    drawn_lines = Text(title, "bold", no_wrap=True).append(f"\n{head}{ends}", "bold cyan")
    for line, text in zip(kept, body, strict=True):
        drawn_lines.append(f"\n{text}", "not bold " + _STATE_STYLES.get(line.cells[1], "default"))
    return drawn_lines


def draw_intervals(event: IntervalChart, width: int) -> RenderableType:
    """Draw a line for each row: the interval as a bar, the value as a point, the mark as a thin line."""
    rows = [(spell(label), value, low, high) for label, value, low, high in event.rows]
    label_width = max((cell_len(row[0]) for row in rows), default=0)
    room = max(20, min(60, width - label_width - 32))

    def column(value: float) -> int:
        share = (value - event.low) / (event.high - event.low)
        return min(room - 1, max(0, round(share * (room - 1))))

    lines = [Text(event.title, style="bold")]
    for label, value, low, high in rows:
        cells = [" "] * room
        cells[column(event.mark)] = "┊"
        has_interval = math.isfinite(low)  # too few data give none
        for index in range(column(low), column(high) + 1) if has_interval else ():
            cells[index] = "━"
        cells[column(value)] = "●"
        figures = f"  {value:.3f} ({low:.3f} to {high:.3f})" if has_interval else f"  {value:.3f} (– to –)"
        lines.append(Text(f"{label:<{label_width}}  ").append("".join(cells), style="cyan").append(figures))
    ends = f"{event.low:g}".ljust(column(event.mark)) + f"{event.mark:g}"
    lines.append(
        Text(" " * (label_width + 2) + ends.ljust(room - len(f"{event.high:g}")) + f"{event.high:g}", style="dim")
    )
    return Group(*lines)


def draw_bars(found: Mapping[str, Bar], width: int, *, is_running: bool = True) -> RenderableType:
    """Draw progress bars, with pace and time left while the job runs."""
    grid = RichTable.grid(padding=(0, 1))
    for name, bar in found.items():
        has_end = is_running and bar.seconds_left is not None and bar.done < bar.total
        left = f"about {format_time_left(bar.seconds_left or 0)} left" if has_end else ""
        pace = ""
        if is_running and bar.unit and bar.rate > 0:
            pace = f"{bar.rate:.1f} {bar.unit}/s" if bar.rate >= _SLOW else f"{format_duration(1 / bar.rate)} each"
        grid.add_row(
            name,
            ProgressBar(total=max(bar.total, 1), completed=bar.done + bar.share, width=max(10, min(100, width - 60))),
            f"{bar.done}/{bar.total}",
            pace,
            left,
        )
    return grid


def draw_gauges(values: dict[str, str], width: int) -> Text:
    """Write name and value pairs; a line never breaks between a name and its value."""
    pairs = [Text.assemble((f"{name} ", "dim"), value) for name, value in values.items()]
    return join_whole(pairs, "   ", width)


def join_whole(parts: Iterable[Text], gap: str, width: int) -> Text:
    """Break lines between the parts alone. Rich would also break them at the spaces of a part, no-break ones too."""
    lines = [Text()]
    for part in parts:
        if lines[-1] and lines[-1].cell_len + len(gap) + part.cell_len > width:
            lines.append(Text())
        lines[-1].append(gap if lines[-1] else "").append_text(part)
    return Text("\n").join(lines)


def format_duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_time_left(seconds: float) -> str:
    """An estimate, without digits that it cannot know."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole / 60:.0f} min"
    return f"{whole / 3600:.1f} h" if whole < 48 * 3600 else f"{whole / 86400:.1f} days"


def print_events(console: Console, shown: list[Table | IntervalChart | Picture]) -> None:
    """Print figures with an empty line between two, except between pictures that are one line each."""
    was_line = True
    for event in shown:
        is_line = isinstance(event, Picture) and not event.thumbnail
        if event is not shown[0] and not (was_line and is_line):
            console.print()
        # The terminal may break a path, so that it can be copied and clicked.
        console.print(draw_event(event, console), soft_wrap=isinstance(event, Picture))
        was_line = is_line
