"""Draw a job while it works: all of it within the window, whatever it says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from tfm.core.events import Note
from tfm.core.runs.job_index import shorten_id
from tfm.ui import render
from tfm.ui.chart import choose_score, draw_chart
from tfm.ui.job_view import JobView, describe_state
from tfm.ui.run_state import RunView

_FRAME, _BORDERS = 4, 2  # columns and lines that the panel takes
_FEWEST_NOTES, _HIGHEST_CHART = 4, 18
_STEP_LINES, _STEPS_SHOWN = 2, 4
_TABLE_HEAD = 2
_FRAMES = "|/-\\"
_FRAMES_PER_SECOND = 4


def draw_job(view: JobView, console: Console, keys: str) -> RenderableType:
    """Notes are left out first; the chart takes the remaining lines. `keys` says what can be pressed."""
    inside = console.options.update(width=console.width - _FRAME)
    width = inside.max_width
    parts: list[RenderableType] = [_draw_queue(view, width)] if view.states else []
    if view.status.state == "running" and (since := view.job.read_silent_since()):
        parts.append(render.format_silence(since))
    if view.current is not None:
        parts += _draw_counts(view, view.current, width)
        gauges = view.current.gauges
        shown = {name: value for name, value in gauges.items() if view.has_worker or not name.endswith("/s")}
        parts += [render.draw_gauges(shown, width)] if shown else []
        room = console.height - _BORDERS - _count_lines(parts, console, inside)
        parts += _fill_room(view.current, room, console, inside)
    if view.job.is_pause_requested():
        keys = "pausing at the next safe point … · l leave it · s stop"
    title = f"{shorten_id(view.job.id)}: {describe_state(view.status)}"
    return Panel(Group(*parts), title=Text(title, no_wrap=True), border_style="cyan", subtitle=Text(keys))


def _draw_counts(view: JobView, current: RunView, width: int) -> list[RenderableType]:
    """One line for each unfinished count, and what is done without a count."""
    parts: list[RenderableType] = []
    if current.unfinished_bars:
        parts.append(render.draw_bars(current.unfinished_bars, width, is_running=view.has_worker))
    name, since = current.activity
    if view.has_worker and (name or not current.unfinished_bars):
        parts.append(_draw_spinner(name or ("working" if current.bars or current.notes else "starting"), since))
    return parts


def _draw_spinner(words: str, since: float) -> Text:
    now = time.time()
    frame = _FRAMES[int(now * _FRAMES_PER_SECOND) % len(_FRAMES)]
    passed = f"  {render.format_duration(now - since)}" if since and now - since >= 1 else ""
    return Text(f"{frame} ", "cyan").append(f"{words} …", "not cyan").append(passed, "dim")


def _fill_room(view: RunView, room: int, console: Console, inside: ConsoleOptions) -> list[RenderableType]:
    """The growing tables, the chart and the last notes, in the lines that are left."""
    parts: list[RenderableType] = []
    for lines in view.lines.values():
        most = max(1, room - _FEWEST_NOTES - _TABLE_HEAD)
        parts.append(render.draw_lines(list(lines.values()), inside.max_width, most))
        room -= min(len(lines), most) + _TABLE_HEAD
    score = choose_score(view.metrics)
    notes = _select_fitting(view.notes, room - bool(score), console, inside)
    if score and room > 0:
        height = min(_HIGHEST_CHART, room - _count_lines(notes, console, inside))
        bar = view.bars.get(next(iter(view.metrics)))
        parts.append(draw_chart(view.metrics, bar.total if bar else 0, inside.max_width, height))
    return parts + notes


def _draw_queue(view: JobView, width: int) -> RenderableType:
    """How far the plan is; its steps, of a long plan the running, failed and next ones."""
    states = view.states
    done = sum(state == "done" for state in states.values())
    left = view.seconds_left if view.has_worker else None
    line = RichTable.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        Text(f"queue: {done} of {len(states)} done", "bold"),
        f"about {render.format_time_left(left)} left for all" if left else "",
    )
    whole = render.join_whole([_draw_step(name, state) for name, state in states.items()], "  ", width)
    if whole.plain.count("\n") < _STEP_LINES:
        return Group(line, whole)
    shown = [_draw_step(name, state) for name, state in states.items() if state not in ("done", "waiting", "skipped")]
    shown += [_draw_step(name, state) for name, state in states.items() if state == "waiting"][:1]
    return Group(line, render.join_whole(shown[-_STEPS_SHOWN:], "  ", width))


def _draw_step(name: str, state: str) -> Text:
    mark = {"done": "✓", "running": "▸", "failed": "✗", "skipped": "–"}.get(state, "·")
    return Text(f"{mark} {name}", render.format_state(state).style)


def _count_lines(parts: Sequence[RenderableType], console: Console, inside: ConsoleOptions) -> int:
    return sum(len(console.render_lines(part, inside)) for part in parts)


def _select_fitting(notes: Iterable[Note], room: int, console: Console, inside: ConsoleOptions) -> list[RenderableType]:
    """The last notes that fit into the room and leave most of the window to the chart."""
    fitting: list[RenderableType] = []
    room = min(room, max(_FEWEST_NOTES, console.height // 6))
    for note in reversed(list(notes)[-room:] if room > 0 else ()):
        drawn = render.format_note(note)
        room -= _count_lines([drawn], console, inside)
        if room < 0:
            break
        fitting.insert(0, drawn)
    return fitting
