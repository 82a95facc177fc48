"""What a person did wrong, or what went wrong below, as one panel; a traceback never reaches the screen."""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.console import Console

from tfm.core.errors import SettingsError, told
from tfm.ui import render

WRONG_USE, FAILED = 2, 1


def guarded(act: Callable[[], None]) -> None:
    try:
        act()
    except typer.Exit:
        raise
    except Exception as error:
        Console(stderr=True).print(render.error_panel(told(error)))
        raise typer.Exit(WRONG_USE if isinstance(error, SettingsError) else FAILED) from None
