"""Commands that run in the foreground: shown while they work, paused by Ctrl-C, reported as JSON for scripts."""

from __future__ import annotations

import contextlib
import json
import signal
from typing import Any

from rich.console import Console

from tfm.core import registry
from tfm.core.errors import RunError
from tfm.core.events import IntervalChart, Note, Picture, Progress, Result, Table
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.runs.executors import Executor, StartedJob, find_executor, find_place
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.ui import render
from tfm.ui.job_view import describe_job
from tfm.ui.progress_line import ProgressLine
from tfm.ui.screens import job_end, live_view
from tfm.ui.spell_references import spell_values, write_command_line


def run_in_foreground(job: Run | Plan, executor: Executor, *, detach: bool, as_json: bool, quiet: bool = False) -> int:
    """Start a job or attach to it, and wait for its end. Returns the exit status; `quiet` shows only the end."""
    console = render.create_console(stderr=as_json)
    if job.read_status().state == "damaged":
        raise RunError(job.read_status().message, hint=job.read_status().hint)
    if isinstance(job, Run) and job.read_status().state == "done":
        if not job.has_intact_outputs():
            raise RunError(
                f"{job.id} was done, but its outputs are gone or have changed",
                hint=f"run it again: {job.describe_restart()}",
            )
        console.print("This was done before, and its outputs are complete: nothing to do again.", style="green")
    else:
        if job.is_alive():
            console.print(f"{describe_job(job)}. It was started before.", style="cyan")
        started = executor.submit(job)
        if detach:
            watch = write_command_line(["runs", "watch", job.id], job.workspace)
            words = f"{job.id} is running" if started.process else describe_job(job)
            console.print(f"{words}. Watch it: {watch}", soft_wrap=True)
            _print_status(job, as_json)
            return 0
        _watch_until_end(started, render.create_console(quiet=True) if quiet else console)
    job_end.print_end(job, console)
    _print_status(job, as_json)
    return job_end.get_exit_status(job)


def _print_status(job: Run | Plan, as_json: bool) -> None:
    if as_json:
        status = job.read_status()
        _print_json({"id": job.id, "state": status.state, "result": status.result, "message": status.message})


def _watch_until_end(started: StartedJob, console: Console) -> None:
    """Ctrl-C pauses the job; so does SIGTERM, which a scheduler or container sends to end a process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        live_view.watch_job(started, console)
        return
    except KeyboardInterrupt:
        find_executor(started.job).pause(started.job)
        is_here = find_place(started.job) == THIS_MACHINE
        again = "leave it running" if is_here else "leave what runs; what waited has left the queue"
        console.print(f"Pausing at the next safe point … (Ctrl-C again: {again})", style="yellow")
    try:
        live_view.watch_job(started, console)
    except KeyboardInterrupt:
        started.job.withdraw_pause()


def print_answer(found: registry.Answer, given: dict[str, Any], workspace: Workspace, *, as_json: bool) -> int:
    """Run a command that has no run folder, and print its events as they come. Ctrl-C and SIGTERM let it tidy up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = render.create_console(stderr=as_json)
    result = Result({})
    generator = found.generate(resolve(found.settings, {}, given), workspace)
    with contextlib.closing(generator) as events, ProgressLine(console) as line:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Progress):
                line.show(event)
            elif isinstance(event, Table | IntervalChart | Picture):
                console.print(render.draw_event(event, console))
            elif isinstance(event, Note):
                render.print_note(console, event)
            elif isinstance(event, Result):
                result = event
    if as_json:
        _print_json(result.values)
    return 0 if result.values.get("ok", True) else 1


def _print_json(value: dict[str, Any]) -> None:
    render.create_console(soft_wrap=True, highlight=False).print(
        json.dumps(spell_values(value), ensure_ascii=False), markup=False
    )
