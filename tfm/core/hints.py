"""References to commands and settings in messages and help texts.

`ui` rewrites each as a command line, a flag or a form field.
"""

from __future__ import annotations

import shlex


def command(words: str, *arguments: object, **settings: object) -> str:
    """Refer to a command, as in `command("runs resume", run.id)` or `command("train MODEL", study=run.id)`."""
    parts = [words, *(shlex.quote(str(argument)) for argument in arguments)]
    if settings:
        parts += ["with", *(_assign(name, value) for name, value in settings.items())]
    return f"`command: {' '.join(parts)}`"


def setting(name: str, value: object = None) -> str:
    """Refer to a setting, and to a value for it: `setting("cache")`, `setting("batch_size", 4)`."""
    return f"`setting: {name if value is None else _assign(name, value)}`"


def _assign(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return shlex.quote(f"{name}={text}")
