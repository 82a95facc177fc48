"""Watch a job, from its folder alone, so that any terminal can watch it or leave it. Keys pause, leave or stop it."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.segment import Segment, Segments

from tfm.core.events import Metrics, Note, TableRow
from tfm.core.runs.executors import StartedJob, find_executor
from tfm.ui import render
from tfm.ui.job_view import JobView
from tfm.ui.keyboard import Keyboard
from tfm.ui.reader import is_accessible
from tfm.ui.screens.draw_job import draw_job

_REFRESH_SECONDS = 0.25
_TELL_SECONDS = 10.0
_KEYS = "p pause · l leave it running · s stop · ? help"
_HELP = "p: pause at a safe point · l: it goes on without you · s: stop at once"
_STOP = "Stop at once? It resumes from its last checkpoint.  s yes · n no"


def watch_job(started: StartedJob, console: Console, *, moving: bool = True) -> bool:
    """Show a job until it ends; return False if the person left it running. The caller handles KeyboardInterrupt."""
    view = JobView(started.job)
    if moving and console.is_terminal and not console.is_dumb_terminal:
        return _watch_live(started, view, console)
    _watch_lines(started, view, console)
    return True


def _watch_live(started: StartedJob, view: JobView, console: Console) -> bool:
    """Draw on the alternate screen, only when something changed, without clearing it first (no flicker)."""
    before: list[Segment] = []
    footer = _KEYS
    with Live(console=console, auto_refresh=False, screen=True) as live, Keyboard() as keyboard:
        while True:
            is_running = started.is_running()
            view.refresh()
            now = list(console.render(draw_job(view, console, footer)))
            if now != before:
                live.update(Segments(now), refresh=True)
                before = now
            if not is_running:
                return True
            for key in keyboard.wait(_REFRESH_SECONDS):
                if key == "l":
                    return False
                footer = _act_on_key(key, started, footer)


def _act_on_key(key: str, started: StartedJob, footer: str) -> str:
    """Pause or stop the job, or explain the keys. Return the new last line."""
    executor = find_executor(started.job)
    if footer == _STOP and key == "s":
        executor.cancel(started.job)
    elif key == "p":
        executor.pause(started.job)
    elif key == "s":
        return _STOP
    elif key == "?" and footer != _HELP:
        return _HELP
    return _KEYS


def _watch_lines(started: StartedJob, view: JobView, console: Console) -> None:
    """Without a terminal: one line for each run, note and epoch. A person hears now and then how far it is."""
    announced: set[str] = set()
    told = time.monotonic()
    while True:
        is_running = started.is_running()
        for run_view, events in view.read_new_events():
            if events and run_view.run.id not in announced:
                announced.add(run_view.run.id)
                console.print(run_view.run.id, style="bold")
            for event in events:
                if isinstance(event, Note):
                    console.print(render.format_note(event), soft_wrap=True)
                if isinstance(event, Metrics):
                    figures = "  ".join(f"{name} {value:.4g}" for name, value in event.values.items())
                    console.print(figures, soft_wrap=True)  # one line each, even in a narrow window
                if isinstance(event, TableRow):
                    cells = "  ".join(f"{name} {cell}" for name, cell in zip(event.columns, event.cells, strict=True))
                    console.print(cells, soft_wrap=True, highlight=False, markup=False)
            if run_view.unfinished_bars and is_accessible() and time.monotonic() - told >= _TELL_SECONDS:
                told = time.monotonic()
                console.print(render.draw_bars(run_view.unfinished_bars, console.width))
        if not is_running:
            return
        time.sleep(_REFRESH_SECONDS)
