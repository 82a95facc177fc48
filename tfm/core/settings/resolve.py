"""From given values to valid settings: field defaults < preset < given values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from tfm.core.errors import SettingsError
from tfm.core.settings import messages
from tfm.core.settings.base import NoEffectWhen, Settings
from tfm.core.settings.fields import SettingField, list_fields

S = TypeVar("S", bound=Settings)


def resolve(settings: type[S], preset: Mapping[str, Any], given: Mapping[str, Any]) -> S:
    """Build settings. Raises SettingsError if a value is invalid or if a given value has no effect."""
    placed = place_values(settings, given)
    values = merge(place_values(settings, preset), placed)
    without_effect = find_fields_without_effect(settings, values)
    refused = [  # the file of a run contains such fields with their defaults
        (field, mark) for field, mark in without_effect if get_parsed_value(placed, field) != field.default
    ]
    if refused:
        conditions = {field.name: mark.condition for field, mark in refused}
        raise messages.build_no_effect_error(conditions, refused[0][1].setting)
    for field, _ in without_effect:
        values = _remove_at(values, field.path)
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        questions = {field.name: field.question for field in list_fields(settings)}
        raise messages.build_validation_error(error, questions) from None


def check_values(settings: type[Settings], given: Mapping[str, Any]) -> None:
    """Check each value alone: the setting exists and accepts it."""
    placed = place_values(settings, given)
    for field in list_fields(settings):
        value = _get_at(placed, field.path)
        if value is not _MISSING:
            try:
                field.parse(value)
            except ValueError as error:
                name = field.name.replace("_", "-")
                raise SettingsError(f"{name}: {error}", hint=field.question, fields=(field.name,)) from None


def select_known(settings: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the values of settings that exist."""
    known = {}
    for name, value in values.items():
        with contextlib.suppress(SettingsError):
            place_values(settings, {name: value})
            known[name] = value
    return known


def place_values(settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """Nest flat values by group; of two values for one setting, the later wins.

    A part of a mapping is switched by its name (`clahe`), and `a.b` names a setting of a part or a group
    (`clahe.clip_limit`).
    """
    by_name = {field.name: field for field in list_fields(settings)}
    by_part = {part: field for field in by_name.values() for part in field.parts}
    groups = settings.model_fields.keys() - by_name.keys()
    placed: dict[str, Any] = {}
    for name, value in given.items():
        first, _, rest = name.partition(".")
        if name in by_name:
            here = _nest(by_name[name].path, by_name[name].parse_text(value))
        elif name in groups:
            here = {name: _place_in_group(settings, name, value)}
        elif rest and first in by_name and by_name[first].parts:
            here = _place_part(by_name[first], rest, value)
        elif rest and first in groups:
            here = {first: _place_in_group(settings, first, {rest: value})}
        elif first in by_part:
            here = _place_part(by_part[first], name, value)
        else:
            raise messages.build_unknown_setting_error(first, [*by_name, *by_part, *groups])
        placed = merge(placed, here)
    return placed


def _place_in_group(settings: type[Settings], name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{name} is a group of settings and takes no value of its own (given: {value})",
            hint=f"set one of the settings in {name}",
        )
    group = settings.model_fields[name].annotation
    assert isinstance(group, type)
    assert issubclass(group, Settings)
    return place_values(group, value)


def _place_part(field: SettingField, name: str, value: Any) -> dict[str, Any]:
    """Switch a part of a mapping, or set a value of the part."""
    part, _, setting = name.partition(".")
    if part not in field.parts:
        raise messages.build_unknown_part_error(field.name, part, field.parts, field.name)
    if setting:
        known = {one.path[-1]: one for one in field.list_part_fields(part)}
        if setting not in known:
            raise messages.build_unknown_part_error(part, setting, known, field.name)
        return _nest(known[setting].path, known[setting].parse_text(value))
    switch = field.parse_text(value)
    if not isinstance(switch, bool | Mapping):
        raise SettingsError(
            f"{part}: must be true or false (given: {switch})",
            hint=f"to change a setting of {part}, use {part}.NAME=VALUE",
            fields=(field.name,),
        )
    return _nest((*field.path, part), switch)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; `above` wins. A `true` above a mapping keeps the mapping: the part is on already."""
    result = dict(below)
    for name, value in above.items():
        if not isinstance(result.get(name), Mapping):
            result[name] = value
        elif value is not True:
            result[name] = merge(result[name], value) if isinstance(value, Mapping) else value
    return result


def find_fields_without_effect(
    settings: type[Settings], values: Mapping[str, Any]
) -> list[tuple[SettingField, NoEffectWhen]]:
    """The fields that have no effect with these nested values, each with the mark that says so.

    A mark that names a setting of another class does not apply.
    """
    fields = list_fields(settings)
    decisive = {one.setting for field in fields for mark in field.no_effect for one in (mark, *mark.also)}
    parsed = {field.name: get_parsed_value(values, field) for field in fields if field.name in decisive}
    known = {name: value for name, value in parsed.items() if value is not _MISSING}
    marks = ((field, [mark for mark in field.no_effect if mark.applies(known)]) for field in fields)
    return [(field, applying[0]) for field, applying in marks if applying]


def find_names_without_effect(
    settings: type[Settings], preset: Mapping[str, Any], given: Mapping[str, Any]
) -> set[str]:
    """The names of the fields that have no effect with the values of a preset and the given ones."""
    values = merge(place_values(settings, preset), place_values(settings, given))
    return {field.name for field, _ in find_fields_without_effect(settings, values)}


_MISSING = object()


def _get_at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = values
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def get_parsed_value(values: Mapping[str, Any], field: SettingField) -> Any:
    """The value or else the default, in the field's own type; missing if invalid (`resolve` reports that)."""
    value = _get_at(values, field.path)
    if value is _MISSING:
        return _MISSING if field.is_required else field.default
    try:
        return field.parse(value)
    except ValueError:
        return _MISSING


def _nest(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def _remove_at(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = path
    inner = values.get(first)
    others = {name: value for name, value in values.items() if name != first}
    return others | {first: _remove_at(inner, tuple(rest))} if rest and isinstance(inner, Mapping) else others
