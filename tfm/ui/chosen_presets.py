"""The presets that a form has chosen, read once, and the values that they give to settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tfm.core import registry
from tfm.core.runs.matching_products import PARTNERS
from tfm.core.runs.resolve_command_settings import find_preset, get_started_command
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import SettingField, list_fields
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import merge, place_values, select_known
from tfm.ui.form_inputs import find_default_inputs

VARIES = "different for each preset"  # the value of a setting in which several presets differ
_MISSING = object()


@dataclass(frozen=True)
class ChosenPresets:
    """`names` may be empty: then the command's default preset counts, or no values at all."""

    workspace: Workspace
    stage: str
    names: tuple[str, ...]

    @cached_property
    def loaded(self) -> list[Preset | None]:
        return [find_preset(self.workspace, self.stage, name) for name in self.names or (None,)]

    @cached_property
    def command(self) -> registry.Command:
        """The command that one preset starts, or all of several; with presets of different commands, the form's own."""
        started = {get_started_command(self.stage, preset) for preset in (self.loaded if self.names else [])}
        return registry.find_command(started.pop() if len(started) == 1 else self.stage)

    def find_inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that the command takes when nobody names one, beside a given dataset or cache."""
        named = tuple((kind, given[kind]) for kind in PARTNERS if given.get(kind))
        if named not in self._inputs:
            self._inputs[named] = find_default_inputs(self.workspace, self.command.list_fields(), dict(named))
        return self._inputs[named]

    @cached_property
    def _inputs(self) -> dict[tuple[tuple[str, Any], ...], dict[str, Any]]:
        """Kept, because each row of a form asks for them."""
        return {}

    @cached_property
    def _settings(self) -> list[type[Settings]]:
        """The settings of the command that each preset starts."""
        names = [get_started_command(self.stage, preset) for preset in self.loaded]
        return [registry.find_command(name).settings for name in names]

    @cached_property
    def _placed(self) -> list[dict[str, Any]]:
        pairs = zip(self._settings, self.loaded, strict=True)
        return [place_values(settings, preset.settings if preset else {}) for settings, preset in pairs]

    def read_values(self, field: SettingField, given: Mapping[str, Any]) -> list[Any]:
        """The value of a setting in each preset that has it, after the given values are merged in."""
        values = []
        for settings, placed in zip(self._settings, self._placed, strict=True):
            known = self._fields[settings].get(field.name)
            if known is not None:
                own = place_values(settings, select_known(settings, given)) if given else {}
                values.append(_get_at(merge(placed, own) if own else placed, known))
        return values or [field.default]

    @cached_property
    def _fields(self) -> dict[type[Settings], dict[str, SettingField]]:
        """The settings of each command by name, and those of its parts."""
        found = {}
        for settings in self._settings:
            own = list_fields(settings)
            inner = [one for field in own for part in field.parts for one in field.list_part_fields(part)]
            found[settings] = {field.name: field for field in [*own, *inner]}
        return found


def merge_values(values: Sequence[Any]) -> Any:
    """The common value, or VARIES."""
    return values[0] if all(value == values[0] for value in values) else VARIES


def _get_at(values: Mapping[str, Any], field: SettingField) -> Any:
    value: Any = values
    for name in field.path:
        value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
    return field.default if value is _MISSING else value
