"""Events → rich. One function draws each kind; who wants another look changes it here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.events import Intervals, Note, Picture, Table
from tfm.ui import thumbnail
from tfm.ui.view import Bar

_LONGEST_WORD = 24  # a longer one may be broken over lines
_SPARKS = "▁▂▃▄▅▆▇█"
_STATE_STYLES = {
    "running": "cyan",
    "done": "green",
    "failed": "red",
    "halted": "yellow",
    "paused": "yellow",
    "waiting": "bright_black",
}


def error_panel(error: TFMError) -> Panel:
    return Panel(
        Group(
            Text(error.message), Text(), Text("What to do: ", style="bold").append(Text(error.hint, style="not bold"))
        ),
        title="that did not work",
        border_style="red",
    )


def state(name: str) -> Text:
    return Text(name, style=_STATE_STYLES.get(name, ""))


def note(event: Note) -> Text:
    return Text(
        ("! " if event.level == "warning" else "· ") + event.text, style="yellow" if event.level == "warning" else ""
    )


def drawn(event: Table | Intervals | Picture, console: Console) -> RenderableType:
    match event:
        case Table():
            return table(event)
        case Intervals():
            return intervals(event, console.width)
        case Picture():
            line = Text(f"{event.title}: {event.path}", style="cyan", overflow="fold")
            return Group(*thumbnail.blocks(event.thumbnail, console), line)


def table(event: Table) -> RenderableType:
    grid = RichTable(
        title=Text(event.title),
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for number, column in enumerate(event.columns):
        figures = all(_is_figure(row[number]) for row in event.rows)
        words = [word for cell in (column, *(row[number] for row in event.rows)) for word in cell.split()]
        widest = max((len(word) for word in words), default=1)
        grid.add_column(
            column, justify="right" if figures else "left", overflow="fold", min_width=min(widest, _LONGEST_WORD)
        )
    for row in event.rows:
        grid.add_row(*map(Text, row))  # a bracket in a name is no markup
    return Group(grid, Text(event.caption, style="yellow")) if event.caption else grid


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell in ("", "–", "—", "nan")


def intervals(event: Intervals, width: int) -> RenderableType:
    """A line per row: the interval as a bar, the value as a point, the mark as a thin line behind."""
    label_width = max((len(row[0]) for row in event.rows), default=0)
    room = max(20, min(60, width - label_width - 32))

    def column(value: float) -> int:
        share = (value - event.low) / (event.high - event.low)
        return min(room - 1, max(0, round(share * (room - 1))))

    lines = [Text(event.title, style="bold")]
    for label, value, low, high in event.rows:
        cells = [" "] * room
        cells[column(event.mark)] = "┊"
        for index in range(column(low), column(high) + 1):
            cells[index] = "━"
        cells[column(value)] = "●"
        figures = f"  {value:.3f} ({low:.3f} to {high:.3f})"
        lines.append(Text(f"{label:<{label_width}}  ").append("".join(cells), style="cyan").append(figures))
    ends = f"{event.low:g}".ljust(column(event.mark)) + f"{event.mark:g}"
    lines.append(
        Text(" " * (label_width + 2) + ends.ljust(room - len(f"{event.high:g}")) + f"{event.high:g}", style="dim")
    )
    return Group(*lines)


def bars(found: dict[str, Bar], width: int) -> RenderableType:
    grid = RichTable.grid(padding=(0, 1))
    for name, bar in found.items():
        left = "" if bar.seconds_left is None or bar.done == bar.total else f"{duration(bar.seconds_left)} left"
        rate = f"{bar.rate:.1f} {bar.unit}/s" if bar.unit and bar.rate else ""
        grid.add_row(
            name,
            ProgressBar(total=max(bar.total, 1), completed=bar.done, width=max(10, min(40, width - 48))),
            f"{bar.done}/{bar.total}",
            rate,
            left,
        )
    return grid


def curve(values: Iterable[float], width: int) -> str:
    """A small curve of the last values; a value that is not a number leaves a gap."""
    tail = list(values)[-width:]
    finite = [value for value in tail if math.isfinite(value)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    top = len(_SPARKS) - 1
    return "".join(
        _SPARKS[round((value - low) / span * top) if span else 0] if math.isfinite(value) else " " for value in tail
    )


def curves(metrics: dict[str, list[float]], width: int) -> RenderableType:
    grid = RichTable.grid(padding=(0, 1))
    for name, values in list(metrics.items())[1:]:
        grid.add_row(
            name.replace("_", " "),
            Text(curve(values, max(8, width - 60)), style="cyan"),
            f"{values[-1]:.4g}",
            _best(name, values),
        )
    return grid


def _best(name: str, values: list[float]) -> str:
    """Of what is measured on validation: there one wants the lowest loss, or the highest of anything else."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite or not name.startswith("val_"):
        return ""
    return f"best {min(finite) if 'loss' in name else max(finite):.4g}"


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _is_one_line(event: Table | Intervals | Picture) -> bool:
    return isinstance(event, Picture) and not event.thumbnail


def print_shown(console: Console, shown: list[Table | Intervals | Picture]) -> None:
    for before, event in pairwise([None, *shown]):
        assert event is not None
        if before is not None and not (_is_one_line(before) and _is_one_line(event)):
            console.print()
        console.print(drawn(event, console))
