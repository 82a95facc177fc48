"""A stage's look or preview while it works: its progress as bars that vanish, what it shows gathered to be drawn.

What a form makes of it is the form's; nothing here asks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tfm.core.events import Event, Intervals, Note, Picture, Progress, Table
from tfm.core.registry import Outlook
from tfm.ui import render
from tfm.ui.prompts import ToMenu
from tfm.ui.run_view import Bar

_DRAW_SECONDS = 0.1

ShownEvent = Note | Table | Intervals | Picture


@dataclass
class PreviewResult:
    shown: list[ShownEvent] = field(default_factory=list)
    outlook: Outlook = field(default_factory=Outlook)


def watch_preview(events: Iterator[Event | Outlook], console: Console, *, moving: bool) -> PreviewResult:
    """All that comes, once it has come. Ctrl-C stops it and goes to the menu."""
    seen, bars = PreviewResult(), _ProgressBars(console, moving)
    try:
        with contextlib.closing(_generator(events)) as coming, bars.drawn:
            for event in coming:
                match event:
                    case Progress():
                        bars.add(event)
                    case Note() | Table() | Intervals() | Picture():
                        seen.shown.append(event)
                    case Outlook():
                        seen.outlook = event
    except KeyboardInterrupt:
        raise ToMenu from None
    finally:
        _discard_typed_keys()
    return seen


def _discard_typed_keys() -> None:
    """An Enter that was pressed while nothing was asked answers no question, and starts nothing."""
    if sys.stdin.isatty() and os.name == "posix":
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _generator(events: Iterator[Event | Outlook]) -> Generator[Event | Outlook, None, None]:
    """Closing it closes what it passes on, where that can be closed."""
    yield from events


class _ProgressBars:
    """Bars on a terminal; where nothing may move, one line that says that something is done."""

    def __init__(self, console: Console, moving: bool) -> None:
        words = Text("Looking … (Ctrl-C: to the menu)", style="dim")
        self.live = Live(words, console=console, auto_refresh=False, transient=True) if moving else None
        self.drawn = self.live or contextlib.nullcontext()
        self.bars: dict[str, Bar] = {}
        self.drawn_at = 0.0
        if not moving:
            console.print(words)

    def add(self, event: Progress) -> None:
        now = time.monotonic()
        bar = self.bars.setdefault(event.name, Bar(event.unit, event.done, event.total, now, now))
        bar.total = event.total
        bar.advance(event.done, now)
        if self.live and now - self.drawn_at >= _DRAW_SECONDS:
            self.drawn_at = now
            self.live.update(render.draw_bars(self.bars, self.live.console.width), refresh=True)


def print_events(shown: list[ShownEvent], console: Console) -> None:
    if shown:
        console.print()
    for _, group in groupby(shown, key=lambda event: isinstance(event, Note)):
        drawable = []
        for event in group:
            if isinstance(event, Note):
                render.print_note(console, event)
            else:
                drawable.append(event)
        render.print_events(console, drawable)
