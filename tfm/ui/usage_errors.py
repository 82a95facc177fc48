"""What typer complains about, in the words of this program."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from typer.exceptions import TyperException

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.settings.presets import suggest_names

_MOST_SUGGESTIONS = 3


def explain_usage_error(error: TyperException) -> SettingsError:
    context: Any = getattr(error, "ctx", None)
    command = context.command_path.partition(" ")[2] if context else ""
    see_help = f"see {hints.command(command, help=True)}"
    option = getattr(error, "option_name", "")
    if option and hasattr(error, "possibilities"):
        known = [name for one in context.command.params for name in (*one.opts, *one.secondary_opts)]
        close = suggest_options(option, known)
        hint = f"did you mean {' or '.join(close)}?" if close else see_help
        return SettingsError(f"there is no option {option}", hint=hint)
    message = error.format_message()
    if option:
        needs_value = "requires" in message
        return SettingsError(
            f"{option} needs a value" if needs_value else f"{option} takes no value",
            hint=f"write the value behind it: {option} VALUE" if needs_value else f"write {option} alone",
        )
    if extra := re.search(r"unexpected extra argument.*? \((.*)\)", message):
        return SettingsError(f"{extra[1]}: this word has no place here", hint=see_help)
    if missing := re.search(r"Missing argument '(.*)'", message):
        return SettingsError(f"{missing[1].rstrip('.')} is missing", hint=see_help)
    if unknown := re.search(r"No such command '([^']*)'", message):
        hint = suggest_names(unknown[1], list(context.command.commands))
        return SettingsError(f"there is no command called {unknown[1]!r} below {command}", hint=hint)
    return SettingsError(message[:1].lower() + message[1:].rstrip("."), hint=see_help)


def suggest_options(wrong: str, known: Iterable[str]) -> list[str]:
    """The options that a person may have meant: by initials, by the beginning, by a typing error, by a part."""
    wanted = wrong.lstrip("-")
    names = [name for name in dict.fromkeys(known) if name.startswith("--") and not name.startswith("--no-")]
    initials = [name for name in names if "".join(word[0] for word in name[2:].split("-")) == wanted]
    begins = [name for name in names if name[2:].startswith(wanted)]
    close = difflib.get_close_matches(f"--{wanted}", names, n=_MOST_SUGGESTIONS, cutoff=0.75)
    holds = [name for name in names if len(wanted) > 2 and wanted in name]
    found = initials or begins or close or holds
    return found[:_MOST_SUGGESTIONS]
