"""A job while it works, drawn from its folder alone: leave it, come back, from this terminal or another."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.events import Metrics, Note
from tfm.core.job import Status
from tfm.core.jobs import find_run
from tfm.core.machine import free_gib
from tfm.core.plan import Plan
from tfm.core.run import Run
from tfm.ui import render
from tfm.ui.view import RunView
from tfm.worker import PAUSED, Started

_LOOK_SECONDS = 0.15
_NOTES_SHOWN = 4
_FULL_DISK_GIB = 0.05
_FREE_SPACE = "free some space there, then resume it"


class JobView:
    """A run, or a plan with the run it is at."""

    def __init__(self, job: Run | Plan) -> None:
        self.job = job
        self.views: dict[str, RunView] = {}
        self.current: RunView | None = None

    def catch_up(self) -> list[tuple[RunView, list]]:  # type: ignore[type-arg]
        fresh = []
        for run_id in self._run_ids():
            view = self.views.setdefault(run_id, RunView(self._run(run_id)))
            events = view.catch_up()
            self.current = view
            if events:
                fresh.append((view, events))
        return fresh

    def _run_ids(self) -> list[str]:
        if isinstance(self.job, Run):
            return [self.job.id]
        return [run_id for run_id in self.job.status.runs.values() if self._stands(run_id)]

    def _stands(self, run_id: str) -> bool:
        """A run of the plan may have been removed since."""
        return (self.job.workspace.runs_folder / run_id).is_dir()

    def _run(self, run_id: str) -> Run:
        return self.job if isinstance(self.job, Run) else find_run(self.job.workspace, run_id)

    def draw(self, width: int) -> RenderableType:
        parts: list[RenderableType] = []
        status = self.job.status
        if isinstance(self.job, Plan):
            parts.append(self._steps(status))
        if self.current is not None:
            view = self.current
            if view.bars:
                parts.append(render.bars(view.bars, width))
            if view.metrics:
                parts.append(render.curves(view.metrics, width))
            parts += [render.note(note) for note in list(view.notes)[-_NOTES_SHOWN:]]
        if status.state == "running" and not self.job.responding:
            parts.append(Text("not responding: no sign of life for a while", style="yellow"))
        title = f"{self.job.id}: {status.state}"
        return Panel(Group(*parts), title=title, border_style="cyan", subtitle="Ctrl-C: pause, or leave it running")

    def _steps(self, status: Status) -> Text:
        assert isinstance(self.job, Plan)
        text = Text()
        for number, step in enumerate(self.job.steps):
            run_id = status.runs.get(step.name)
            state = self._run(run_id).status.state if run_id and self._stands(run_id) else "waiting"
            text.append("  " if number else "").append({"done": "✓ ", "running": "▸ ", "failed": "✗ "}.get(state, "· "))
            text.append(render.state(step.name) if state == "waiting" else Text(step.name, render.state(state).style))
        return text


def watch(started: Started, console: Console) -> Status:
    """Show a job until it ends. KeyboardInterrupt passes through: what it means is for the caller to say."""
    job = started.job
    assert isinstance(job, Run | Plan)
    view = JobView(job)
    if console.is_terminal:
        _watch_live(started, view, console)
    else:
        _watch_lines(started, view, console)
    return job.status


def _watch_live(started: Started, view: JobView, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            going = started.going
            view.catch_up()
            live.update(view.draw(console.width), refresh=True)
            if not going:
                return
            time.sleep(_LOOK_SECONDS)


def _watch_lines(started: Started, view: JobView, console: Console) -> None:
    """Without a terminal: a line per run, note and epoch."""
    announced: set[str] = set()
    while True:
        going = started.going
        for run_view, events in view.catch_up():
            if run_view.run.id not in announced:
                announced.add(run_view.run.id)
                console.print(f"{run_view.run.id}", style="bold")
            for event in events:
                if isinstance(event, Note):
                    console.print(render.note(event))
                if isinstance(event, Metrics):
                    console.print("  ".join(f"{name} {value:.4g}" for name, value in event.values.items()))
        if not going:
            return
        time.sleep(_LOOK_SECONDS)


def show_end(job: Run | Plan, console: Console) -> None:
    """How it ended: its tables where it is done, what to do where it is not."""
    status = job.status
    view = JobView(job)
    view.catch_up()
    if status.state == "done" and view.current is not None:
        for note in view.current.notes if console.is_terminal else ():  # elsewhere they were printed as they came
            console.print(render.note(note))
        render.print_shown(console, view.current.shown)
        console.print(
            Text("done", style="green").append(f"  {job.id}  ({render.duration(status.seconds)})", style="dim")
        )
        return
    for line in _how_it_ended(job, status):
        console.print(line, highlight=False, soft_wrap=isinstance(line, Text))  # a command stays one line to copy


def _how_it_ended(job: Run | Plan, status: Status) -> list[RenderableType]:
    resume = Text(f"python wizard.py runs resume {job.id}", style="dim")
    match status.state:
        case "failed":
            trouble = render.error_panel(TFMError(status.message, hint=status.hint))
            return [trouble, Text("When that is mended (other settings make a new run): ", style="dim").append(resume)]
        case "damaged":
            return [render.error_panel(TFMError(status.message, hint=status.hint))]
        case "waiting":
            hint = f"what happened is in {job.log_file}"
            return [render.error_panel(TFMError(f"{job.id} ended before it began", hint=hint))]
        case "running":
            watch = Text(f"python wizard.py runs watch {job.id}", style="dim")
            return [Text("It goes on running.", style="yellow"), watch]
        case "paused":
            return [Text("Paused.", style="yellow"), resume]
    if free_gib(job.folder) < _FULL_DISK_GIB:
        full = TFMError(f"{job.id} was halted: the disk of {job.folder.parent.parent} is full", hint=_FREE_SPACE)
        return [render.error_panel(full), resume]
    return [Text("It was stopped from outside.", style="yellow"), resume]


def exit_status(status: Status) -> int:
    return {"done": 0, "running": 0, "paused": PAUSED}.get(status.state, 1)
