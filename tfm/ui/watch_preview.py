"""Run an inspection or a preview: its progress as bars that disappear, and the events to show."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import groupby

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tfm.core.events import Event, IntervalChart, Note, Picture, Progress, Table
from tfm.core.registry import InspectionResult
from tfm.ui import render
from tfm.ui.prompts import ToMenu
from tfm.ui.run_state import Bar

_DRAW_SECONDS = 0.1

ShownEvent = Note | Table | IntervalChart | Picture


@dataclass
class PreviewResult:
    shown: list[ShownEvent] = field(default_factory=list)
    inspection: InspectionResult = field(default_factory=InspectionResult)


def watch_preview(
    events: Generator[Event | InspectionResult, None, None], console: Console, *, moving: bool
) -> PreviewResult:
    """Collect all events. Ctrl-C stops the work and goes to the menu."""
    result, bars = PreviewResult(), _ProgressBars(console, moving)
    try:
        with contextlib.closing(events), bars.drawn:
            for event in events:
                match event:
                    case Progress():
                        bars.add(event)
                    case Note() | Table() | IntervalChart() | Picture():
                        result.shown.append(event)
                    case InspectionResult():
                        result.inspection = event
    except KeyboardInterrupt:
        raise ToMenu from None
    return result


class _ProgressBars:
    """Bars on a terminal, or one line if nothing may move."""

    def __init__(self, console: Console, moving: bool) -> None:
        text = Text("Reading … (Ctrl-C: to the menu)", style="dim")
        self.live = Live(text, console=console, auto_refresh=False, transient=True) if moving else None
        self.drawn = self.live or contextlib.nullcontext()
        self.bars: dict[str, Bar] = {}
        self.drawn_at = 0.0
        if not moving:
            console.print(text)

    def add(self, event: Progress) -> None:
        now = time.monotonic()
        bar = self.bars.setdefault(event.name, Bar(event.unit, event.done, event.total, now, now))
        bar.total = event.total
        bar.advance(event.done, now)
        if self.live and now - self.drawn_at >= _DRAW_SECONDS:
            self.drawn_at = now
            self.live.update(render.draw_bars(self.bars, self.live.console.width), refresh=True)


def print_events(shown: list[ShownEvent], console: Console) -> None:
    """Print notes and figures in their order."""
    if shown:
        console.print()
    for _, group in groupby(shown, key=lambda event: isinstance(event, Note)):
        figures = []
        for event in group:
            if isinstance(event, Note):
                render.print_note(console, event)
            else:
                figures.append(event)
        render.print_events(console, figures)
