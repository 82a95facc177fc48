"""What every command shares: its workspace, its exit status, and errors shown as a panel without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from tfm.core.errors import SettingsError, translate_error
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.runs.workspace import DEFAULT_WORKSPACE, Workspace
from tfm.ui import render
from tfm.ui.completion import complete_clusters

WRONG_USE, FAILED = 2, 1

option_on = typer.Option(
    "--on",
    help=f"Where to run: {THIS_MACHINE}, or a cluster that a file in clusters/ of the workspace describes.",
    metavar="CLUSTER",
    autocompletion=complete_clusters,
    show_default=f"{THIS_MACHINE}; an unfinished run stays where it was",
    rich_help_panel="This run",
)


def open_workspace(context: typer.Context, given: Path | None) -> Workspace:
    """Open the workspace named after the command or before it, or the default one."""
    here: Any = context
    while given is None and here.parent is not None:
        here = here.parent
        given = here.params.get("workspace")
    return Workspace(DEFAULT_WORKSPACE if given is None else given)


def report_errors(act: Callable[[], None]) -> None:
    try:
        act()
    except typer.Exit:
        raise
    except Exception as error:
        render.print_error(render.create_console(stderr=True), translate_error(error))
        raise typer.Exit(WRONG_USE if isinstance(error, SettingsError) else FAILED) from None
