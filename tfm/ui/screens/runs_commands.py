"""Runs and plans as commands: listed, shown, watched, paused, resumed, extended, restarted, removed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfm.core import hints
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs import lookup
from tfm.core.runs.command_settings import load_settings
from tfm.core.runs.plan import Plan
from tfm.core.runs.restart import describe_extension, extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.runs.worker import StartedJob
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import get_value
from tfm.ui import render
from tfm.ui.command_context import open_workspace, report_errors
from tfm.ui.screens import foreground, live_view
from tfm.ui.spelling import format_flag, set_reader, spell

_Workspace = Annotated[Path | None, typer.Option(help="Where everything that is made lives.", show_default="workspace")]
_Id = Annotated[str, typer.Argument(metavar="RUN", help="A run's or plan's id, or a part of it that names only one.")]
_Detach = Annotated[bool, typer.Option("--detach", help="Return at once.")]
_Json = Annotated[bool, typer.Option("--json", help="A last line of results, for scripts.")]


app = typer.Typer(
    help="List, show, watch, pause, resume, extend, restart or remove what was started.", invoke_without_command=True
)


@app.callback()
def default(context: typer.Context, workspace: _Workspace = None) -> None:
    if context.invoked_subcommand is None:
        report_errors(lambda: _print_listing(_open_for(context, workspace)))


@app.command("list", help="Every run and plan, newest first.")
def list_(context: typer.Context, workspace: _Workspace = None) -> None:
    report_errors(lambda: _print_listing(_open_for(context, workspace)))


@app.command(help="One run: its state, settings and results.")
def show(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    report_errors(lambda: print_job(_find_job(context, workspace, run), render.create_console()))


@app.command(help="See a run work; Ctrl-C leaves it running.")
def watch(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    report_errors(lambda: watch_until_end(_find_job(context, workspace, run), render.create_console()))


@app.command(help="Ask a run to stop at its next safe point.")
def pause(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    report_errors(lambda: pause_job(_find_job(context, workspace, run), render.create_console()))


@app.command(help="Go on with a paused, halted or failed run.")
def resume(
    context: typer.Context, run: _Id, workspace: _Workspace = None, detach: _Detach = False, json: _Json = False
) -> None:
    def go_on() -> int:
        job = _find_job(context, workspace, run)
        return foreground.run_in_foreground(job, detach=detach, as_json=json)

    _exit_with(go_on)


@app.command(help="The same settings in a new run; the old one stays.")
def restart(
    context: typer.Context, run: _Id, workspace: _Workspace = None, detach: _Detach = False, json: _Json = False
) -> None:
    def again() -> int:
        new = restart_run(lookup.find_run(_open_for(context, workspace), run))
        return foreground.run_in_foreground(new, detach=detach, as_json=json)

    _exit_with(again)


@app.command(
    help="Go on from where a done run ended, as a new run. How far is said by the setting that grows, by its own name; "
    "`runs extend RUN` alone tells which.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="--SETTING TOTAL [OPTIONS]",
)
def extend(
    context: typer.Context, run: _Id, workspace: _Workspace = None, detach: _Detach = False, json: _Json = False
) -> None:
    def further() -> int:
        name, words = _split_total([run, *context.args])
        old = lookup.find_run(_open_for(context, workspace), name)
        new = extend_run(old, _parse_total(old, words))
        return foreground.run_in_foreground(new, detach=detach, as_json=json)

    _exit_with(further)


def _split_total(words: list[str]) -> tuple[str, list[str]]:
    """Whichever is said first."""
    start = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    end = start + (1 if any("=" in word for word in words[start : start + 1]) else 2)
    return " ".join(words[:start] + words[end:]), words[start:end]


def _parse_total(run: Run, words: list[str]) -> str:
    """How far, as in --epochs 90; that a stage has no such setting is said where the run would be made."""
    grows = find_extensible_field(run)
    option, _, total = " ".join(words).replace(" ", "=", 1).partition("=")
    if grows and option != format_flag(grows.name):
        before = get_value(load_settings(run), grows)
        raise SettingsError(
            f"how far {run.id} should go on is not said",
            hint=f"give the new total, as in {format_flag(grows.name)} {2 * before}. {describe_extension(run)}",
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
            raise SettingsError(
                f"{job.id} would be deleted for good{describe_study(job)}", hint="say --yes if that is meant"
            )
        if yes or typer.confirm(f"Delete {job.id} for good, with all its results{describe_study(job)}?"):
            remove_job(job, render.create_console())

    report_errors(act)


_BETWEEN = 15  # what the table draws between its columns and around them


def _open_for(context: typer.Context, given: Path | None) -> Workspace:
    workspace = open_workspace(context, given)
    set_reader(workspace)
    return workspace


def _find_job(context: typer.Context, workspace: Path | None, run: str) -> Run | Plan:
    return lookup.find_job(_open_for(context, workspace), run)


def _print_listing(workspace: Workspace) -> None:
    console = render.create_console()
    console.print(build_table(workspace, console.width))


def _exit_with(act: Callable[[], int]) -> None:
    def acted() -> None:
        raise typer.Exit(act())

    report_errors(acted)


def build_table(workspace: Workspace, width: int) -> Table:
    standing: list[Run | Plan] = [*lookup.list_runs(workspace), *lookup.list_plans(workspace)]
    rows = [_build_row(job) for job in sorted(standing, key=lambda job: job.read_status().created, reverse=True)]
    table = Table(
        title=f"Runs in {workspace.root}", title_justify="left", header_style="bold cyan", box=box.SIMPLE_HEAD
    )
    for column in ("run", "state", "time", "what came of it"):
        table.add_column(column, no_wrap=True)
    taken = sum(max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]) + _BETWEEN
    for *cells, outcome in rows:
        outcome.truncate(max(8, width - taken), overflow="ellipsis")
        table.add_row(*cells, outcome)
    return table


def _build_row(job: Run | Plan) -> tuple[Text, Text, Text, Text]:
    """Columns that are never cut, and the outcome, of which the screen's edge may take a part."""
    status = job.read_status()
    return (
        Text(job.id),
        render.format_state(status.state),
        Text(render.format_duration(job.read_seconds_spent())),
        Text(describe_outcome(job)),
    )


def describe_outcome(job: Run | Plan) -> str:
    status = job.read_status()
    if status.state == "done" and isinstance(job, Plan):
        return ", ".join(status.runs)
    if status.message:
        return spell(status.message).split("\n", 1)[0]
    return ", ".join(f"{name} {value}" for name, value in render.format_results(status.result, ".3f").items())


def print_job(job: Run | Plan, console: Console) -> None:
    console.print(job.id, style="bold", highlight=False)
    name = "settings.yaml" if isinstance(job, Run) else "plan.yaml"
    console.print((job.folder / name).read_text(encoding="utf-8"), style="dim", highlight=False, markup=False)
    live_view.print_end(job, console)


def watch_until_end(job: Run | Plan, console: Console) -> None:
    try:
        live_view.watch_job(StartedJob(job, None), console)
    except KeyboardInterrupt:
        console.print("It goes on running.", style="cyan")
        return
    live_view.print_end(job, console)


def pause_job(job: Run | Plan, console: Console) -> None:
    if not job.is_alive():
        raise RunError(f"{job.id} is {job.read_status().state}, not running", hint="only a running one can be paused")
    job.request_pause()
    console.print("Asked to pause: waiting for its next safe point (Ctrl-C: not waiting for it)", style="cyan")
    if since := job.read_silent_since():
        console.print(render.format_silence(since))
    try:
        live_view.watch_job(StartedJob(job, None), render.create_console(quiet=True))
    except KeyboardInterrupt:
        return
    console.print(render.format_state(job.read_status().state))


def describe_study(job: Run | Plan) -> str:
    """What becomes of a study one of whose trials is removed."""
    whole = job.read_status().part_of
    if not whole:
        return ""
    return f" (it is a trial of {whole}, which keeps what it was told of it, and makes it anew if it had not ended)"


def remove_job(job: Run | Plan, console: Console) -> None:
    if job.is_alive():
        raise RunError(f"{job.id} is running", hint=f"pause it first: {hints.command('runs pause', job.id)}")
    whole = describe_study(job)
    shutil.rmtree(job.folder)
    console.print(f"{job.id} is removed{whole}.", highlight=False)
