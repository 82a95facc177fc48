"""The help of commands and options in the reader's language. typer's own words are translated too."""

from __future__ import annotations

from typing import Any

from tfm.ui.spell_references import spell


def translate_help(command: Any) -> None:
    """Translate the texts of a command that typer built, and those of the commands below it."""
    from typer import rich_utils

    rich_utils.OPTIONS_PANEL_TITLE = spell("Options")
    rich_utils.ARGUMENTS_PANEL_TITLE = spell("Arguments")
    rich_utils.DEFAULT_STRING = f"[{spell('default')}: {{}}]"
    _translate_texts(command)


def _translate_texts(command: Any) -> None:
    for part in (command, *command.params):
        for name in ("help", "short_help", "epilog", "rich_help_panel", "show_default"):
            text = getattr(part, name, None)
            if isinstance(text, str):
                setattr(part, name, spell(text))
    for below in getattr(command, "commands", {}).values():
        _translate_texts(below)
