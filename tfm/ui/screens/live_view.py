"""A job while it works, drawn from its folder alone, so that any terminal can watch it or leave it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cached_property

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.segment import Segment, Segments
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.events import Event, Metrics, Note, Table, TableRow
from tfm.core.machine import read_free_gib
from tfm.core.runs.executors import StartedJob, find_place
from tfm.core.runs.job_folder import Status
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.run import Run
from tfm.core.runs.slurm_queue import look_up_placement
from tfm.core.runs.worker import PAUSED_EXIT_STATUS
from tfm.ui import render
from tfm.ui.run_state import RunView
from tfm.ui.spell_references import spell, write_command_line

_REFRESH_SECONDS = 0.15
_FRAME, _BORDERS = 4, 2  # columns and lines that the panel takes
_FEWEST_NOTES, _HIGHEST_CURVE = 4, 6
_STEP_LINES, _STEPS_SHOWN = 2, 4
_TABLE_HEAD = 2
_FULL_DISK_GIB = 0.05


class JobView:
    """A run, or a plan with the run that is running now."""

    def __init__(self, job: Run | Plan) -> None:
        self.job = job
        self.status = job.read_status()
        self.current: RunView | None = None
        self.states: dict[str, str] = {}  # of the steps of a plan
        self._views: dict[str, RunView] = {}

    def refresh(self) -> None:
        """Read the status and the new events of the current run; of a plan, not the logs of all its runs."""
        self.status = self.job.read_status()
        current_id = self.job.id
        if isinstance(self.job, Plan):
            for step in self._steps:
                if self.states.get(step.name) != "done":
                    self.states[step.name] = self._read_state(step.name)
            running = [self.status.runs[name] for name, state in self.states.items() if state == "running"]
            current_id = next(iter([*running, *reversed(self._run_ids())]), "")
        if current_id:
            self.current = self._view(current_id)
            self.current.read_new_events()

    def read_new_events(self) -> list[tuple[RunView, list[Event]]]:
        """Read the new events of all runs."""
        self.status = self.job.read_status()
        return [(view, view.read_new_events()) for view in map(self._view, self._run_ids())]

    def _view(self, run_id: str) -> RunView:
        return self._views.setdefault(run_id, RunView(self._run(run_id)))

    def _run_ids(self) -> list[str]:
        if isinstance(self.job, Run):
            return [self.job.id]
        return [run_id for run_id in self.status.runs.values() if self._exists(run_id)]

    def _exists(self, run_id: str) -> bool:
        """False for a run of the plan that was removed."""
        return (self.job.workspace.runs_folder / run_id).is_dir()

    def _run(self, run_id: str) -> Run:
        workspace = self.job.workspace
        return self.job if isinstance(self.job, Run) else Run(workspace.runs_folder / run_id, workspace)

    @cached_property
    def _steps(self) -> list[Step]:
        assert isinstance(self.job, Plan)
        return self.job.read_steps()

    def _read_state(self, step: str) -> str:
        run_id = self.status.runs.get(step)
        if run_id is None or not self._exists(run_id):
            return "waiting"
        return self._run(run_id).read_status().state

    def describe_steps(self) -> dict[str, str]:
        """The state of each step of a plan in words."""
        queued = look_up_placement(self.job.folder) or {}
        words = {}
        for step in self._steps:
            run_id = self.status.runs.get(step.name)
            if run_id and self._exists(run_id):
                words[step.name] = describe_state(self._run(run_id).read_status())
            else:
                words[step.name] = queued[step.name].words if step.name in queued else "waiting"
        return words

    def draw(self, console: Console) -> RenderableType:
        """Fit everything into the window: notes are left out first, curves take the remaining lines."""
        inside = console.options.update(width=console.width - _FRAME)
        parts: list[RenderableType] = [_draw_steps(self.states, inside.max_width)] if self.states else []
        if self.status.state == "running" and (since := self.job.read_silent_since()):
            parts.append(render.format_silence(since))
        view = self.current
        if view is not None:
            is_running = self.status.state in ("running", "waiting")
            gauges = {name: value for name, value in view.gauges.items() if is_running or not name.endswith("/s")}
            parts += [render.draw_bars(view.bars, inside.max_width, is_running=is_running)] if view.bars else []
            parts += [render.draw_gauges(gauges, inside.max_width)] if gauges else []
            room = console.height - _BORDERS - _count_lines(parts, console, inside)
            for lines in view.lines.values():
                most = max(1, room - _FEWEST_NOTES - _TABLE_HEAD)
                parts.append(render.draw_lines(list(lines.values()), inside.max_width, most))
                room -= min(len(lines), most) + _TABLE_HEAD
            curves = dict(list(view.metrics.items())[1:])
            notes = _select_fitting(view.notes, room - len(curves), console, inside)
            room -= _count_lines(notes, console, inside)
            if curves and room > 0:
                curves = dict(list(curves.items())[-room:])
                parts.append(render.draw_curves(curves, inside.max_width, min(_HIGHEST_CURVE, room // len(curves))))
            parts += notes
        is_pausing = self.job.is_pause_requested()
        keys = "pausing at the next safe point …" if is_pausing else "Ctrl-C: pause, or leave it running"
        title = f"{self.job.id}: {describe_state(self.status)}"
        return Panel(Group(*parts), title=title, border_style="cyan", subtitle=keys)


def describe_state(status: Status) -> str:
    """The state in words; of a job on a cluster, what Slurm says about it, such as "running on node7"."""
    return (status.message if status.state in ("waiting", "running") else "") or status.state


def describe_job(job: Run | Plan) -> str:
    """Say how a job stands; of a job on a cluster, such as "2024-05-17_train_ab12cd on ours: running on node7"."""
    status = job.read_status()
    words = describe_state(status)
    return f"{job.id} is {words}" if words == status.state else f"{job.id} on {find_place(job)}: {words}"


def _draw_steps(states: dict[str, str], width: int) -> Text:
    """Draw all steps of a plan; of a long plan the running, failed and next ones, and how many are done."""
    whole = render.join_whole([_draw_step(name, state) for name, state in states.items()], "  ", width)
    if whole.plain.count("\n") < _STEP_LINES:
        return whole
    names = {wanted: [name for name, state in states.items() if state == wanted] for wanted in ("done", "waiting")}
    shown = [_draw_step(name, state) for name, state in states.items() if state not in names]
    shown += [_draw_step(name, "waiting") for name in names["waiting"][:1]]
    done = _draw_step(f"{len(names['done'])} of {len(states)}", "done")
    return render.join_whole([done, *shown[-_STEPS_SHOWN:]], "  ", width)


def _draw_step(name: str, state: str) -> Text:
    mark = {"done": "✓", "running": "▸", "failed": "✗"}.get(state, "·")
    return Text(f"{mark} {name}", render.format_state(state).style)


def _count_lines(parts: Sequence[RenderableType], console: Console, inside: ConsoleOptions) -> int:
    return sum(len(console.render_lines(part, inside)) for part in parts)


def _select_fitting(notes: Iterable[Note], room: int, console: Console, inside: ConsoleOptions) -> list[RenderableType]:
    """The last notes that fit into the room."""
    fitting: list[RenderableType] = []
    for note in reversed(list(notes)[-max(_FEWEST_NOTES, console.height // 6) :]):
        drawn = render.format_note(note)
        room -= _count_lines([drawn], console, inside)
        if room < 0:
            break
        fitting.insert(0, drawn)
    return fitting


def watch_job(started: StartedJob, console: Console, *, moving: bool = True) -> None:
    """Show a job until it ends. The caller handles KeyboardInterrupt."""
    view = JobView(started.job)
    if moving and console.is_terminal and not console.is_dumb_terminal:
        _watch_live(started, view, console)
    else:
        _watch_lines(started, view, console)


def _watch_live(started: StartedJob, view: JobView, console: Console) -> None:
    """Draw on the alternate screen, only when something changed, without clearing it first (no flicker)."""
    before: list[Segment] = []
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            is_running = started.is_running()
            view.refresh()
            now = list(console.render(view.draw(console)))
            if now != before:
                live.update(Segments(now), refresh=True)
                before = now
            if not is_running:
                return
            time.sleep(_REFRESH_SECONDS)


def _watch_lines(started: StartedJob, view: JobView, console: Console) -> None:
    """Without a terminal: one line for each run, note and epoch."""
    announced: set[str] = set()
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
        if not is_running:
            return
        time.sleep(_REFRESH_SECONDS)


def print_end(job: Run | Plan, console: Console) -> None:
    """Print the results of a job that is done, or what to do if it is not."""
    status = job.read_status()
    view = JobView(job)
    view.refresh()
    if status.state == "done" and view.current is not None:
        shown, closing = view.current.shown, view.current.closing
        for note in view.current.notes if console.is_terminal else ():  # without a terminal they were printed before
            if note not in closing:
                render.print_note(console, note)
        if not any(isinstance(event, Table) for event in shown) and (results := _build_results(job)).rows:
            shown = [*shown, results]
        render.print_events(console, shown)
        console.print(
            Text("done", style="green").append(f"  {job.id}  ({render.format_duration(status.seconds)})", style="dim")
        )
        for note in closing if console.is_terminal else ():  # such as the files to open
            console.print(render.format_note(note), soft_wrap=True)
        return
    for line in _describe_end(job, status):
        if isinstance(line, TFMError):
            render.print_error(console, line)
        else:
            console.print(line, highlight=False, soft_wrap=True)  # a command stays one line to copy


def _build_results(job: Run | Plan) -> Table:
    """The results as a table: of a run its values, of a plan those of each step."""
    if isinstance(job, Run):
        results = render.format_results(job.read_status().result, ".6g")
        return Table("Results", ["", ""], [list(row) for row in results.items()])
    rows = []
    for step, run_id in job.read_status().runs.items():
        if (job.workspace.runs_folder / run_id).is_dir():
            result = Run(job.workspace.runs_folder / run_id, job.workspace).read_status().result
            values = render.format_results(result, ".3f")
            rows.append([step, ", ".join(f"{name} {value}" for name, value in values.items())])
    return Table("Results", ["step", "result"], rows)


def _describe_end(job: Run | Plan, status: Status) -> list[TFMError | Text]:
    resume, watch = (
        Text(write_command_line(["runs", word, job.id], job.workspace), style="dim") for word in ("resume", "watch")
    )
    match status.state:
        case "running" | "waiting" if job.is_alive():
            return [Text(f"{describe_job(job)}.", style="yellow"), watch]
        case "failed" | "damaged":  # the hint says whether the run can be resumed
            return [TFMError(status.message, hint=status.hint)]
        case "waiting":
            return [TFMError(f"{job.id} ended before it started", hint=f"see {job.log_file}")]
        case "pruned":
            return [Text(spell(f"Pruned: {status.message}."), style="yellow"), resume]
        case "paused":
            return [Text("Paused.", style="yellow"), resume]
    if read_free_gib(job.folder) < _FULL_DISK_GIB:
        message = f"{job.id} was halted: the disk of {job.folder.parent.parent} is full"
        return [TFMError(message, hint="free some space there, then resume it"), resume]
    if status.message:
        return [TFMError(status.message, hint=status.hint), resume]
    return [Text("It was stopped from outside the program.", style="yellow"), resume]


def get_exit_status(job: Run | Plan) -> int:
    state = job.read_status().state
    return 0 if state == "done" or job.is_alive() else PAUSED_EXIT_STATUS if state == "paused" else 1
