"""From the name of a command, a preset and values to checked settings.

Runs and plans are made in `launch`, `queue` and `restart`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfm.core import hints, registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs import inputs
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import find_field, get_value
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import check_values, resolve


def find_preset(workspace: Workspace, name: str, preset: str | None = None) -> Preset | None:
    """Load the named preset, or the command's default one; None if the command has no presets."""
    found = registry.find_command(name)
    if not isinstance(found, registry.Stage) or found.presets is None:
        return None
    preset = preset or found.default_preset
    if preset is None:
        names = workspace.list_presets(found.presets)
        raise SettingsError(f"{name} needs the name of a preset", hint="choose one of: " + ", ".join(names))
    loaded = workspace.load_preset(found.presets, preset)
    try:  # only here is the file known that contains a wrong setting
        check_values(registry.find_command(get_started_command(name, loaded)).settings, loaded.settings)
    except SettingsError as error:
        raise SettingsError(f"{loaded.file}: {error.message}", hint=error.hint) from None
    return loaded


def get_started_command(name: str, preset: Preset | None) -> str:
    """The preset decides which command starts if a preset is required; a default preset only sets values."""
    found = registry.find_command(name)
    is_decisive = isinstance(found, registry.Stage) and found.default_preset is None
    return preset.stage if preset and is_decisive else name


def find_started_command(workspace: Workspace, name: str, presets: Sequence[str]) -> str:
    """The command that one preset starts, or all of several; with presets of different commands, the command itself."""
    started = {get_started_command(name, find_preset(workspace, name, preset)) for preset in presets}
    return started.pop() if len(started) == 1 else name


def resolve_settings(workspace: Workspace, name: str, given: Mapping[str, Any], preset: Preset | None) -> Settings:
    """Settings of a command, with its inputs completed and checked."""
    found = registry.find_command(name)
    given = inputs.complete_values(workspace, found.settings, given)
    settings = resolve(found.settings, preset.settings if preset else {}, given)
    inputs.check_inputs(workspace, settings)
    for repeat in found.repeats:
        _check_upper_limit(workspace, settings, repeat)
    return settings


def _check_upper_limit(workspace: Workspace, settings: Settings, repeat: registry.Repeat) -> None:
    field = find_field(type(settings), repeat.setting)
    value = get_value(settings, field)
    if repeat.at_most is None or value == field.default:
        return
    most = repeat.find_limit(settings, workspace)
    if most is not None and value > most:
        raise SettingsError(
            f"{field.name}: {value} is too high: the highest possible value is {most}",
            hint=field.question,
            fields=(field.name,),
        )


def load_settings(run: Run) -> Settings:
    """The settings in a run's file. Only a person who edited the file can have made them invalid."""
    try:
        return resolve(registry.find_stage(run.read_stage()).settings, {}, run.read_settings())
    except SettingsError as error:
        raise RunError(
            f"{run.settings_file} was changed: {error.message}",
            hint="restore the file; to use other settings, start a new run: "
            f"{hints.command(run.read_stage(), help=True)}",
        ) from None
