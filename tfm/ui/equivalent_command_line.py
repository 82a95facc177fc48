"""A filled form, and the command line that does the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfm.core import registry
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.runs.resolve_command_settings import find_started_command
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import spell_settings
from tfm.ui import spell_references


@dataclass(frozen=True)
class FilledForm:
    """What a form returns: a command, its presets, the settings that a person gave, and where to run it."""

    stage: str
    presets: tuple[str, ...]
    given: dict[str, Any]
    on: str | None = None

    @property
    def is_here(self) -> bool:
        return self.on in (None, THIS_MACHINE)


def write_command(filled: FilledForm, workspace: Workspace) -> str:
    words = [filled.stage]
    stage = registry.find_command(filled.stage)
    known = registry.find_command(find_started_command(workspace, filled.stage, filled.presets))
    by_name = {field.name: field for field in known.list_fields()}
    default = stage.default_preset if isinstance(stage, registry.Stage) else None
    if default is None:
        words += filled.presets
    elif filled.presets not in ((), (default,)):
        words += ["--preset", *filled.presets]
    for name in sorted(filled.given, key=lambda name: name not in by_name or not by_name[name].is_positional):
        value = filled.given[name]
        words += (
            spell_settings.assign(by_name[name], value) if name in by_name else spell_settings.assign_part(name, value)
        )
    words += ["--on", filled.on] if filled.on else []
    return spell_references.write_command_line(words, workspace)
