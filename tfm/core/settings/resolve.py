"""From what was said to settings that hold, in one function: defaults < preset < what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from tfm.core.errors import SettingsError
from tfm.core.settings import messages
from tfm.core.settings.fields import SettingField, list_fields
from tfm.core.settings.schema import NoEffectWhen, Settings


def place_values(settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, put where it belongs: field names may be flat, groups may be nested; a part of a mapping is
    switched by its name (`clahe`), and `a.b` reaches into a part (`clahe.clip_limit`), a mapping or a group. What
    stands further back wins."""
    by_name = {field.name: field for field in list_fields(settings)}
    switches = {part: field for field in by_name.values() for part in field.parts}
    placed: dict[str, Any] = {}
    for name, value in given.items():
        first, _, rest = name.partition(".")
        if name in by_name:
            here = _at(by_name[name].path, by_name[name].parse_text(value))
        elif name in settings.model_fields:
            here = {name: place_values(_group(settings, name), _several(name, value))}
        elif rest and first in by_name and by_name[first].parts:
            here = _switched(by_name[first], rest, value)
        elif rest and first in settings.model_fields and first not in by_name:
            here = {first: place_values(_group(settings, first), {rest: value})}
        elif first in switches:
            here = _switched(switches[first], name, value)
        else:
            groups = settings.model_fields.keys() - by_name.keys()
            raise messages.build_unknown_setting_error(first, [*by_name, *switches, *groups])
        placed = merge(placed, here)
    return placed


def _several(group: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{group} is a group of settings, and no value by itself (given: {value})",
            hint=f"name the settings in it, below {group}",
        )
    return value


def check_values(settings: type[Settings], given: Mapping[str, Any]) -> None:
    """Each by itself: there is such a setting, and it can be that."""
    placed = place_values(settings, given)
    for field in list_fields(settings):
        value = _placed(placed, field)
        if value is not _NOTHING:
            try:
                field.parse(value)
            except ValueError as error:
                name = field.name.replace("_", "-")
                raise SettingsError(f"{name}: {error}", hint=field.question, fields=(field.name,)) from None


def _group(settings: type[Settings], name: str) -> type[Settings]:
    annotation = settings.model_fields[name].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, Settings)
    return annotation


def _at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def _switched(field: SettingField, name: str, value: Any) -> dict[str, Any]:
    """A part of a mapping on or off, or one of the part's values, at its place."""
    part, _, setting = name.partition(".")
    if part not in field.parts:
        raise messages.build_unknown_part_error(field.name, part, field.parts, field.name)
    if not setting:
        return _at((*field.path, part), _on_or_off(field, part, value))
    known = {one.path[-1]: one for one in field.list_part_fields(part)}
    if setting not in known:
        raise messages.build_unknown_part_error(part, setting, known, field.name)
    return _at(known[setting].path, known[setting].parse_text(value))


def _on_or_off(field: SettingField, part: str, value: Any) -> bool | Mapping[str, Any]:
    value = field.parse_text(value)
    if not isinstance(value, bool | Mapping):
        raise SettingsError(
            f"{part}: must be true or false (given: {value})",
            hint=f"what {part} holds is set by name, as in {part}.NAME=VALUE",
            fields=(field.name,),
        )
    return value


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both name a value, `above` wins. `true` above a mapping switches nothing: it
    is on, with what it holds."""
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
    """The settings that do nothing with these nested values, and why. A mark that names what the class does not have
    is about other classes."""
    found = list_fields(settings)
    decisive = {mark.setting for field in found for one in field.no_effect for mark in (one, *one.also)}
    held = {field.name: _held(values, field) for field in found if field.name in decisive}
    known = {name: value for name, value in held.items() if value is not _NOTHING}
    idle = ((field, [mark for mark in field.no_effect if mark.applies(known)]) for field in found)
    return [(field, marks[0]) for field, marks in idle if marks]


_NOTHING = object()


def _placed(values: Mapping[str, Any], field: SettingField) -> Any:
    value: Any = values
    for name in field.path:
        if not isinstance(value, Mapping) or name not in value:
            return _NOTHING
        value = value[name]
    return value


def _held(values: Mapping[str, Any], field: SettingField) -> Any:
    """A setting's value, in its own type where it has it."""
    value = _placed(values, field)
    if value is _NOTHING:
        return _NOTHING if field.is_required else field.default
    try:
        return field.parse(value)
    except ValueError:  # it is told where it is set
        return _NOTHING


def _says_otherwise(given: Mapping[str, Any], field: SettingField) -> bool:
    """What stands in a run's own file is the default, and nobody's wish."""
    return bool(_held(given, field) != field.default)


def _left_out(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = path
    inner = values.get(first)
    left = {name: value for name, value in values.items() if name != first}
    return left | {first: _left_out(inner, tuple(rest))} if rest and isinstance(inner, Mapping) else left


S = TypeVar("S", bound=Settings)


def resolve(settings: type[S], preset: Mapping[str, Any], given: Mapping[str, Any]) -> S:
    """The one place where settings come about: field defaults < preset < what was given."""
    above = place_values(settings, given)
    values = merge(place_values(settings, preset), above)
    idle = find_fields_without_effect(settings, values)
    useless = [(field, mark) for field, mark in idle if _says_otherwise(above, field)]
    if useless:
        raise messages.build_no_effect_error({field.name: mark.where for field, mark in useless}, useless[0][1].setting)
    for field, _ in idle:
        values = _left_out(values, field.path)
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise messages.build_validation_error(
            error, {field.name: field.question for field in list_fields(settings)}
        ) from None
