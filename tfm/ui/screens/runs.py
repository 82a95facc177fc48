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
from tfm.ui.error_panel import chosen_workspace, guarded
from tfm.ui.screens import foreground, live
from tfm.ui.spelling import flag, set_reader, spell

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
        guarded(lambda: _print_listing(_open(context, workspace)))


@app.command("list", help="Every run and plan, newest first.")
def list_(context: typer.Context, workspace: _Workspace = None) -> None:
    guarded(lambda: _print_listing(_open(context, workspace)))


@app.command(help="One run: its state, settings and results.")
def show(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    guarded(lambda: show_job(_find(context, workspace, run), render.console()))


@app.command(help="See a run work; Ctrl-C leaves it running.")
def watch(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    guarded(lambda: watch_job(_find(context, workspace, run), render.console()))


@app.command(help="Ask a run to stop at its next safe point.")
def pause(context: typer.Context, run: _Id, workspace: _Workspace = None) -> None:
    guarded(lambda: pause_job(_find(context, workspace, run), render.console()))


@app.command(help="Go on with a paused, halted or failed run.")
def resume(
    context: typer.Context, run: _Id, workspace: _Workspace = None, detach: _Detach = False, json: _Json = False
) -> None:
    def go_on() -> int:
        job = _find(context, workspace, run)
        return foreground.run(job, detach=detach, as_json=json)

    _ends_with(go_on)


@app.command(help="The same settings in a new run; the old one stays.")
def restart(
    context: typer.Context, run: _Id, workspace: _Workspace = None, detach: _Detach = False, json: _Json = False
) -> None:
    def again() -> int:
        new = restart_run(lookup.find_run(_open(context, workspace), run))
        return foreground.run(new, detach=detach, as_json=json)

    _ends_with(again)


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
        name, words = _run_and_how_far([run, *context.args])
        old = lookup.find_run(_open(context, workspace), name)
        new = extend_run(old, _total(old, words))
        return foreground.run(new, detach=detach, as_json=json)

    _ends_with(further)


def _run_and_how_far(words: list[str]) -> tuple[str, list[str]]:
    """Whichever is said first."""
    start = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    end = start + (1 if any("=" in word for word in words[start : start + 1]) else 2)
    return " ".join(words[:start] + words[end:]), words[start:end]


def _total(run: Run, words: list[str]) -> str:
    """How far, as in --epochs 90; that a stage has no such setting is said where the run would be made."""
    grows = find_extensible_field(run)
    option, _, total = " ".join(words).replace(" ", "=", 1).partition("=")
    if grows and option != flag(grows.name):
        before = get_value(load_settings(run), grows)
        raise SettingsError(
            f"how far {run.id} should go on is not said",
            hint=f"give the new total, as in {flag(grows.name)} {2 * before}. {describe_extension(run)}",
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
        job = _find(context, workspace, run)
        if not yes and not sys.stdin.isatty():
            raise SettingsError(
                f"{job.id} would be deleted for good{of_a_whole(job)}", hint="say --yes if that is meant"
            )
        if yes or typer.confirm(f"Delete {job.id} for good, with all its results{of_a_whole(job)}?"):
            remove_job(job, render.console())

    guarded(act)


_BETWEEN = 15  # what the table draws between its columns and around them


def _open(context: typer.Context, given: Path | None) -> Workspace:
    workspace = chosen_workspace(context, given)
    set_reader(workspace)
    return workspace


def _find(context: typer.Context, workspace: Path | None, run: str) -> Run | Plan:
    return lookup.find_job(_open(context, workspace), run)


def _print_listing(workspace: Workspace) -> None:
    console = render.console()
    console.print(listing(workspace, console.width))


def _ends_with(act: Callable[[], int]) -> None:
    def acted() -> None:
        raise typer.Exit(act())

    guarded(acted)


def listing(workspace: Workspace, width: int) -> Table:
    standing: list[Run | Plan] = [*lookup.list_runs(workspace), *lookup.list_plans(workspace)]
    rows = [_row(job) for job in sorted(standing, key=lambda job: job.read_status().created, reverse=True)]
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


def _row(job: Run | Plan) -> tuple[Text, Text, Text, Text]:
    """Columns that are never cut, and the outcome, of which the screen's edge may take a part."""
    status = job.read_status()
    return (
        Text(job.id),
        render.state(status.state),
        Text(render.duration(job.read_seconds_spent())),
        Text(outcome(job)),
    )


def outcome(job: Run | Plan) -> str:
    status = job.read_status()
    if status.state == "done" and isinstance(job, Plan):
        return ", ".join(status.runs)
    if status.message:
        return spell(status.message).split("\n", 1)[0]
    return ", ".join(f"{name} {value}" for name, value in render.results(status.result, ".3f").items())


def show_job(job: Run | Plan, console: Console) -> None:
    console.print(job.id, style="bold", highlight=False)
    name = "settings.yaml" if isinstance(job, Run) else "plan.yaml"
    console.print((job.folder / name).read_text(encoding="utf-8"), style="dim", highlight=False, markup=False)
    live.show_end(job, console)


def watch_job(job: Run | Plan, console: Console) -> None:
    try:
        live.watch(StartedJob(job, None), console)
    except KeyboardInterrupt:
        console.print("It goes on running.", style="cyan")
        return
    live.show_end(job, console)


def pause_job(job: Run | Plan, console: Console) -> None:
    if not job.is_alive():
        raise RunError(f"{job.id} is {job.read_status().state}, not running", hint="only a running one can be paused")
    job.request_pause()
    console.print("Asked to pause: waiting for its next safe point (Ctrl-C: not waiting for it)", style="cyan")
    if since := job.read_silent_since():
        console.print(render.silence(since))
    try:
        live.watch(StartedJob(job, None), render.console(quiet=True))
    except KeyboardInterrupt:
        return
    console.print(render.state(job.read_status().state))


def of_a_whole(job: Run | Plan) -> str:
    """What becomes of a study one of whose trials is removed."""
    whole = job.read_status().part_of
    if not whole:
        return ""
    return f" (it is a trial of {whole}, which keeps what it was told of it, and makes it anew if it had not ended)"


def remove_job(job: Run | Plan, console: Console) -> None:
    if job.is_alive():
        raise RunError(f"{job.id} is running", hint=f"pause it first: {hints.command('runs pause', job.id)}")
    whole = of_a_whole(job)
    shutil.rmtree(job.folder)
    console.print(f"{job.id} is removed{whole}.", highlight=False)
