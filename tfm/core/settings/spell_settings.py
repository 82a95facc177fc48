"""Settings as the words of a command line. `ui` uses it for what it prints, and `document_command` for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line imports this module before it knows whether it needs pydantic
    from tfm.core.settings.fields import SettingField


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
