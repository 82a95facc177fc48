"""Settings as the words of a command line. `ui` uses it for what it prints, and documents that leave the program, such
as a report, for the commands that repeat their runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from tfm.core.settings.base import Settings
from tfm.core.settings.fields import SettingField, get_value, list_fields


def format_flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def assign(field: SettingField, value: Any) -> list[str]:
    """The words of a command line that give a setting a value."""
    if field.is_positional:
        return [str(part) for part in value] if isinstance(value, list) else [str(value)]
    if field.is_bool:
        return [format_flag(field.name) if format_argument(value) == "true" else format_flag(f"no-{field.name}")]
    return [format_flag(field.name), format_argument(value)]


def assign_part(name: str, value: Any) -> list[str]:
    """The same for a part of a setting, `clahe`, or for a value of one, `resize.height`."""
    return ["--set", f"{name}={format_argument(value)}"]


def assign_preset(preset: str | None, default: str | None) -> list[str]:
    """The words that choose a preset, of a command that has a default one or requires one."""
    if preset is None or preset == default:
        return []
    return [preset] if default is None else ["--preset", preset]


def format_argument(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return {"None": "none", "True": "true", "False": "false"}.get(str(value), str(value))


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
