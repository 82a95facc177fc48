"""How a job ended: its results, or what to do if it has none."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.events import Table
from tfm.core.machine import read_free_gib
from tfm.core.runs.job_folder import Status
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.worker import PAUSED_EXIT_STATUS
from tfm.ui import render
from tfm.ui.job_view import JobView, describe_job
from tfm.ui.spell_references import spell, write_command_line

_FULL_DISK_GIB = 0.05


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
            return [Text(spell(status.message) or "Paused.", style="yellow"), resume]
    if read_free_gib(job.folder) < _FULL_DISK_GIB:
        message = f"{job.id} was halted: the disk of {job.folder.parent.parent} is full"
        return [TFMError(message, hint="free some space there, then resume it"), resume]
    if status.message:
        return [TFMError(status.message, hint=status.hint), resume]
    return [Text("It was stopped from outside the program.", style="yellow"), resume]


def get_exit_status(job: Run | Plan) -> int:
    state = job.read_status().state
    return 0 if state == "done" or job.is_alive() else PAUSED_EXIT_STATUS if state == "paused" else 1
