"""The commands below `runs`: list and show runs and plans, and change what they do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from tfm.core import hints
from tfm.core.errors import RunError, SettingsError
from tfm.core.escape_text import escape_terminal
from tfm.core.runs import edit_queue, lookup
from tfm.core.runs.executors import Executor, StartedJob, find_executor
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Plan
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.restart_or_extend import describe_extension, extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.runs.slurm_queue import look_up_placement
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import get_value
from tfm.core.settings.spell_settings import format_flag
from tfm.ui import render, runs_table
from tfm.ui.completion import complete_jobs
from tfm.ui.job_view import describe_job
from tfm.ui.screens import foreground, job_end, live_view, show_job
from tfm.ui.spell_references import set_reader
from tfm.ui.workspace_and_errors import open_workspace, option_on, report_errors

_Workspace = Annotated[Path | None, typer.Option(help="Folder for data, caches and runs.", show_default="workspace")]
_Id = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The id of a run or plan, or a unique part of it.", autocompletion=complete_jobs
    ),
]
_Detach = Annotated[bool, typer.Option("--detach", help="Return at once.")]
_On = Annotated[str | None, option_on]
_Json = Annotated[bool, typer.Option("--json", help="Print the results as a last line of JSON.")]
J = TypeVar("J", Run, Run | Plan)

app = typer.Typer(
    help="List, show, watch, pause, resume, extend, restart or remove runs; edit a queue.", invoke_without_command=True
)


@app.callback()
def default(context: typer.Context, workspace: _Workspace = None) -> None:
    if context.invoked_subcommand is None:
        report_errors(lambda: print_list(_open_for(context, workspace), render.create_console()))


@app.command("list", help="List what was started, newest first. Words select the rows that contain them.")
def list_(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="WORD…", help="Such as failed, or a model.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also the runs of plans and studies.")] = False,
    workspace: _Workspace = None,
) -> None:
    def act() -> None:
        print_list(_open_for(context, workspace), render.create_console(), words or (), everything=everything)

    report_errors(act)


@app.command(help="Show a run: its results, then what was chosen for it.")
def show(
    context: typer.Context,
    run: _Id,
    everything: Annotated[bool, typer.Option("--all", help="Also all settings, or all steps of a plan.")] = False,
    workspace: _Workspace = None,
) -> None:
    def act() -> None:
        job, console = _find_job(context, workspace, run), render.create_console()
        show_job.print_job(job, console)
        if everything:
            show_job.print_settings(job, console)

    report_errors(act)


@app.command(help="Show a queue, and change what waits in it: also while it runs.")
def queue(
    context: typer.Context,
    run: _Id,
    next_: Annotated[str | None, typer.Option("--next", metavar="MODEL", help="Train this one next.")] = None,
    skip: Annotated[str | None, typer.Option("--skip", metavar="MODEL", help="Go on without this one.")] = None,
    keep: Annotated[str | None, typer.Option("--keep", metavar="MODEL", help="Skip it no longer.")] = None,
    drop: Annotated[str | None, typer.Option("--remove", metavar="MODEL", help="Take it out.")] = None,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="MODEL", help="Add one; may be repeated.")] = None,
    workspace: _Workspace = None,
) -> None:
    def act() -> None:
        plan = _find_job(context, workspace, run)
        if not isinstance(plan, Plan):
            raise SettingsError(f"{plan.id} is a single run, not a queue", hint=f"see {hints.command('runs list')}")
        if add:
            edit_queue.add_models(plan, add)
        if skip:
            edit_queue.skip_model(plan, skip)
        if keep:
            edit_queue.keep_model(plan, keep)
        if drop:
            edit_queue.remove_model(plan, drop)
        if next_:
            edit_queue.move_model(plan, next_, -len(plan.read_steps()))
        show_job.print_steps(plan, render.create_console())

    report_errors(act)


@app.command(help="Mark a failure as seen: it no longer comes first in the menu.")
def dismiss(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    report_errors(lambda: _find_job(context, workspace, run).dismiss())


@app.command(help="Watch a run; Ctrl-C leaves it running.")
def watch(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    report_errors(lambda: watch_until_end(_find_job(context, workspace, run), render.create_console()))


@app.command(help="Pause a run at its next safe point.")
def pause(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    report_errors(lambda: pause_job(_find_job(context, workspace, run), render.create_console()))


@app.command(help="Resume a paused, halted or failed run.")
def resume(
    context: typer.Context,
    run: _Id,
    workspace: _Workspace = None,
    on: _On = None,
    detach: _Detach = False,
    json: _Json = False,
) -> None:
    _start(lambda: _find_job(context, workspace, run), lambda job, _: job, on, detach, json)


@app.command(help="Run the same settings again, as a new run; the old one stays.")
def restart(
    context: typer.Context,
    run: _Id,
    workspace: _Workspace = None,
    on: _On = None,
    detach: _Detach = False,
    json: _Json = False,
) -> None:
    _start(lambda: lookup.find_run(_open_for(context, workspace), run), restart_run, on, detach, json)


@app.command(
    help="Continue a finished run to a larger total, as a new run. Write the total as an option, such as --epochs 90; "
    "`runs extend RUN` alone names the option.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="--SETTING TOTAL [OPTIONS]",
)
def extend(
    context: typer.Context,
    run: _Id,
    workspace: _Workspace = None,
    on: _On = None,
    detach: _Detach = False,
    json: _Json = False,
) -> None:
    words = [run, *context.args]  # the run and `--setting total` come in either order
    start = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    end = start + (1 if any("=" in word for word in words[start : start + 1]) else 2)
    name = " ".join(words[:start] + words[end:])

    def extend_found(old: Run, executor: Executor) -> Run:
        return extend_run(old, _parse_total(old, words[start:end]), executor)

    _start(lambda: lookup.find_run(_open_for(context, workspace), name), extend_found, on, detach, json)


def _parse_total(run: Run, words: list[str]) -> str:
    """Read the total from words such as `--epochs 90`; check that they name the setting that can grow."""
    extension = find_extensible_field(run)
    option, _, total = " ".join(words).replace(" ", "=", 1).partition("=")
    if extension and option != format_flag(extension.name):
        before = get_value(load_settings(run), extension)
        raise SettingsError(
            f"the new total for {run.id} is missing",
            hint=f"give the new total, as in {format_flag(extension.name)} {2 * before}. {describe_extension(run)}",
        )
    return total


@app.command(help="Delete a run's folder, with its results.")
def remove(
    context: typer.Context,
    run: _Id,
    workspace: _Workspace = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    def act() -> None:
        job = _find_job(context, workspace, run)
        if not yes and not sys.stdin.isatty():
            raise SettingsError(f"{job.id} would be deleted for good{describe_study(job)}", hint="add --yes to confirm")
        question = f"Delete {job.id} for good, with all its results{describe_study(job)}?"
        if yes or typer.confirm(escape_terminal(question)):
            remove_job(job, render.create_console())

    report_errors(act)


def _open_for(context: typer.Context, given: Path | None) -> Workspace:
    workspace = open_workspace(context, given)
    set_reader(workspace)
    return workspace


def _start(
    find: Callable[[], J], make: Callable[[J, Executor], Run | Plan], on: str | None, detach: bool, as_json: bool
) -> None:
    """Make a job from another one, and start it where the other one was, or on a cluster that a person names."""

    def act() -> None:
        found = find()
        executor = find_executor(found, on)
        job = make(found, executor)
        raise typer.Exit(foreground.run_in_foreground(job, executor, detach=detach, as_json=as_json))

    report_errors(act)


def _find_job(context: typer.Context, workspace: Path | None, run: str) -> Run | Plan:
    return lookup.find_job(_open_for(context, workspace), run)


def print_list(workspace: Workspace, console: Console, words: Sequence[str] = (), *, everything: bool = False) -> None:
    """Print the table of runs; where no person reads it, with all its columns."""
    jobs = runs_table.select_jobs(JobIndex(workspace), words, everything=everything)
    if not jobs:
        console.print(f"Nothing was started in {workspace.root} yet." if not words else "No run has these words.")
        return
    runs_table.print_jobs(jobs, console)


def watch_until_end(job: Run | Plan, console: Console) -> None:
    try:
        live_view.watch_job(StartedJob(job), console)
    except KeyboardInterrupt:
        console.print("It is still running.", style="cyan")
        return
    job_end.print_end(job, console)


def pause_job(job: Run | Plan, console: Console) -> None:
    if not job.is_alive():
        state = job.read_status().state
        raise RunError(
            f"{job.id} is {state}, so there is nothing to pause",
            hint="it keeps its results" if state == "done" else f"continue it: {hints.command('runs resume', job.id)}",
        )
    find_executor(job).pause(job)
    console.print("Asked to pause: waiting for its next safe point (Ctrl-C: do not wait)", style="cyan")
    if since := job.read_silent_since():
        console.print(render.format_silence(since))
    try:
        live_view.watch_job(StartedJob(job), render.create_console(quiet=True))
    except KeyboardInterrupt:
        return
    console.print(render.format_state(job.read_status().state))


def describe_study(job: Run | Plan) -> str:
    """What removing a trial means for its study; empty for other jobs."""
    study = job.read_status().part_of
    return f" (it is a trial of {study}: the study keeps its score, and repeats it if it did not end)" if study else ""


def remove_job(job: Run | Plan, console: Console) -> None:
    if job.is_alive():
        raise RunError(describe_job(job), hint=f"pause it first: {hints.command('runs pause', job.id)}")
    queued = look_up_placement(job.folder) or {}
    if job.read_status().state == "paused" and any(one.state == "unknown" for one in queued.values()):
        # At its time limit, a job pauses its run and enters the queue again.
        raise RunError(f"Slurm does not answer: {job.id} may wait in its queue", hint="try again when Slurm works")
    note = describe_study(job)
    shutil.rmtree(job.folder)
    console.print(f"{job.id} is removed{note}.", highlight=False)
