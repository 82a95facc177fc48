"""Commands in documents that leave the program: a report names those that repeat its runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from tfm.core.settings.base import Settings
from tfm.core.settings.fields import get_value, list_fields
from tfm.core.settings.spell_settings import assign, assign_part


def write_document_command(command: str, preset_words: Sequence[str], settings: Settings, base: Settings) -> str:
    """Write the command with each setting that differs from `base`, for a reader in the folder of the program.

    Args:
        preset_words: As `assign_preset` gives them.
        base: The settings of the command with that preset alone.
    """
    words = [command, *preset_words]
    for field in sorted(list_fields(type(settings)), key=lambda field: not field.is_positional):
        value = get_value(settings, field)
        if field.parts:
            words += _assign_parts(value, get_value(base, field))
        elif field.is_required or value != get_value(base, field):
            words += assign(field, value)
    return shlex.join(["python", "wizard.py", *words])


def _assign_parts(parts: dict[str, Any], base: dict[str, Any]) -> list[str]:
    words = []
    for name in dict.fromkeys([*base, *parts]):
        if name not in parts:
            words += assign_part(name, False)
        elif parts[name] != base.get(name):
            words += assign_part(name, True) if name not in base else []
            values = parts[name].model_dump() if isinstance(parts[name], Settings) else dict(parts[name] or {})
            for setting, value in values.items():
                words += assign_part(f"{name}.{setting}", value)
    return words
