"""How a job ended: its results, or what to do if it has none."""

from __future__ import annotations

from dataclasses import replace

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
from tfm.ui.job_view import describe_job
from tfm.ui.result_page import build_page
from tfm.ui.spell_references import spell, write_command_line

_FULL_DISK_GIB = 0.05


def print_end(job: Run | Plan, console: Console) -> None:
    """Print the whole result of a job that is done, or what to do if it is not."""
    status = job.read_status()
    if status.state == "done" or (isinstance(job, Plan) and status.runs and not job.is_alive()):
        print_figures(job, console)
    if status.state != "done":
        print_problem(job, console)


def print_figures(job: Run | Plan, console: Console) -> None:
    """Print all tables and pictures, each protocol once, and what came out as the last lines."""
    page, status = build_page(job), job.read_status()
    notes = [note for note in page.notes if note not in page.closing] if console.is_terminal else []
    for note in notes:  # without a terminal they were printed before
        render.print_note(console, note)
    figures = [replace(event, caption="") if isinstance(event, Table) else event for event in page.figures]
    render.print_events(console, figures)
    captions = dict.fromkeys(event.caption for event in page.figures if isinstance(event, Table) and event.caption)
    for caption in captions:
        if any(other != caption and other.startswith(caption) for other in captions):
            continue  # the other one says more
        console.print(Text(spell(f"\n{caption}"), "dim"))
    if status.state == "done":
        spent = render.format_duration(status.seconds)
        console.print(Text("\ndone", "green").append(f"  {job.id}  ({spent})", "dim"))
    for note in page.closing if console.is_terminal else ():  # such as the files to open
        console.print(render.format_note(note), soft_wrap=True)
    for line in spell(page.summary).splitlines():
        console.print(Text(line), soft_wrap=_is_to_copy(line))


def _is_to_copy(line: str) -> bool:
    """A path or a command stays one line."""
    return " " not in line or "/" in line


def print_problem(job: Run | Plan, console: Console) -> None:
    for line in describe_end(job, job.read_status()):
        if isinstance(line, TFMError):
            render.print_error(console, line)
        else:
            console.print(line, highlight=False, soft_wrap=True)  # a command stays one line to copy


def describe_end(job: Run | Plan, status: Status) -> list[TFMError | Text]:
    """Why a job is not done, and the command that goes on with it."""
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
