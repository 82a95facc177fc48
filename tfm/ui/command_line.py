"""A filled form as the command that does the very same."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from tfm.core import registry
from tfm.core.runs.launch import find_started_command
from tfm.core.runs.workspace import DEFAULT_WORKSPACE, Workspace
from tfm.core.settings.fields import SettingField


@dataclass(frozen=True)
class Filled:
    """What a form ends with: the same words that a command line carries."""

    stage: str
    presets: tuple[str, ...]
    given: dict[str, Any]


def command_line(filled: Filled, workspace: Workspace) -> str:
    """What to type for the very same thing."""
    words = ["python", "wizard.py", filled.stage]
    stage = registry.find(filled.stage)
    known = registry.find(find_started_command(workspace, filled.stage, filled.presets))
    by_name = {field.name: field for field in registry.asked(known)}
    default = stage.default_preset if isinstance(stage, registry.Stage) else None
    if default is None:
        words += filled.presets
    elif filled.presets not in ((), (default,)):
        words += ["--preset", *filled.presets]
    positional = [name for name in filled.given if name in by_name and by_name[name].is_positional]
    for name in [*positional, *(name for name in filled.given if name not in positional)]:
        value = filled.given[name]
        words += _as_words(by_name[name], value) if name in by_name else ["--set", f"{name}={_as_text(value)}"]
    if workspace.root != Workspace(DEFAULT_WORKSPACE).root:
        words += ["--workspace", str(workspace.root)]
    return shlex.join(words)


def _as_words(field: SettingField, value: Any) -> list[str]:
    option = f"--{field.name.replace('_', '-')}"
    if field.is_positional:
        return [str(part) for part in value] if isinstance(value, list) else [str(value)]
    if field.is_bool:
        return [option if value else f"--no-{option[2:]}"]
    return [option, _as_text(value)]


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return {"None": "none", "True": "true", "False": "false"}.get(str(value), str(value))
