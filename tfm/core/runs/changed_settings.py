"""What a person chose for a run: the settings that differ from its preset."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from tfm.core import registry
from tfm.core.errors import SettingsError
from tfm.core.runs.resolve_command_settings import find_preset, load_settings
from tfm.core.runs.run import Run
from tfm.core.settings.fields import get_value, list_fields
from tfm.core.settings.resolve import find_fields_without_effect, get_parsed_value, place_values


@dataclass(frozen=True)
class ChangedSetting:
    """A setting of a run, and its value without a person's choice; a required one has none."""

    name: str
    value: Any
    before: Any = None


def list_changed_settings(run: Run) -> list[ChangedSetting]:
    """The settings that have no default, and those that differ from the preset or else from their default."""
    stage, settings = registry.find_stage(run.read_stage()), load_settings(run)
    below: dict[str, Any] = {}
    with contextlib.suppress(SettingsError):  # a preset of the workspace that is gone
        preset = find_preset(run.workspace, stage.name, run.read_preset())
        below = place_values(stage.settings, preset.settings) if preset else {}
    useless = {field.name for field, _ in find_fields_without_effect(stage.settings, run.read_settings())}
    changed = []
    for field in list_fields(stage.settings):
        value = get_value(settings, field)
        before = None if field.is_required else get_parsed_value(below, field)
        if field.name not in useless and (field.is_required or value != before):
            changed.append(ChangedSetting(field.name, value, before))
    return changed
