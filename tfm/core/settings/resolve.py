"""From what was said to settings that hold, in one function: defaults < preset < what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from tfm.core.errors import SettingsError
from tfm.core.settings import messages
from tfm.core.settings.fields import Leaf, leaves
from tfm.core.settings.schema import NoEffect, Settings


def nested(settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, put where it belongs: leaf names may be flat, groups may be nested; a part of a mapping is
    switched by its name (`clahe`), and `a.b` reaches into a part (`clahe.clip_limit`), a mapping or a group. What
    stands further back wins."""
    by_name = {leaf.name: leaf for leaf in leaves(settings)}
    switches = {part: leaf for leaf in by_name.values() for part in leaf.parts}
    placed: dict[str, Any] = {}
    for name, value in given.items():
        first, _, rest = name.partition(".")
        if name in by_name:
            here = _at(by_name[name].path, by_name[name].from_text(value))
        elif name in settings.model_fields:
            here = {name: nested(_group(settings, name), _several(name, value))}
        elif rest and first in by_name and by_name[first].parts:
            here = _switched(by_name[first], rest, value)
        elif rest and first in settings.model_fields and first not in by_name:
            here = {first: nested(_group(settings, first), {rest: value})}
        elif first in switches:
            here = _switched(switches[first], name, value)
        else:
            groups = settings.model_fields.keys() - by_name.keys()
            raise messages.unknown(first, [*by_name, *switches, *groups])
        placed = merged(placed, here)
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
    placed = nested(settings, given)
    for leaf in leaves(settings):
        value = _placed(placed, leaf)
        if value is not _NOTHING:
            try:
                leaf.parse(value)
            except ValueError as error:
                name = leaf.name.replace("_", "-")
                raise SettingsError(f"{name}: {error}", hint=leaf.question, fields=(leaf.name,)) from None


def _group(settings: type[Settings], name: str) -> type[Settings]:
    annotation = settings.model_fields[name].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, Settings)
    return annotation


def _at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def _switched(leaf: Leaf, name: str, value: Any) -> dict[str, Any]:
    """A part of a mapping on or off, or one of the part's values, at its place."""
    part, _, setting = name.partition(".")
    if part not in leaf.parts:
        raise messages.not_in(leaf.name, part, leaf.parts, leaf.name)
    if not setting:
        return _at((*leaf.path, part), _on_or_off(leaf, part, value))
    known = {one.path[-1]: one for one in leaf.values_of(part)}
    if setting not in known:
        raise messages.not_in(part, setting, known, leaf.name)
    return _at(known[setting].path, known[setting].from_text(value))


def _on_or_off(leaf: Leaf, part: str, value: Any) -> bool | Mapping[str, Any]:
    value = leaf.from_text(value)
    if not isinstance(value, bool | Mapping):
        raise SettingsError(
            f"{part}: must be true or false (given: {value})",
            hint=f"what {part} holds is set by name, as in {part}.NAME=VALUE",
            fields=(leaf.name,),
        )
    return value


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both name a value, `above` wins. `true` above a mapping switches nothing: it
    is on, with what it holds."""
    result = dict(below)
    for name, value in above.items():
        if not isinstance(result.get(name), Mapping):
            result[name] = value
        elif value is not True:
            result[name] = merged(result[name], value) if isinstance(value, Mapping) else value
    return result


def without_effect(settings: type[Settings], values: Mapping[str, Any]) -> list[tuple[Leaf, NoEffect]]:
    """The settings that do nothing with these nested values, and why. A mark that names what the class does not have
    is about other classes."""
    found = leaves(settings)
    decisive = {mark.setting for leaf in found for one in leaf.idle for mark in (one, *one.also)}
    held = {leaf.name: _held(values, leaf) for leaf in found if leaf.name in decisive}
    known = {name: value for name, value in held.items() if value is not _NOTHING}
    idle = ((leaf, [mark for mark in leaf.idle if mark.holds(known)]) for leaf in found)
    return [(leaf, marks[0]) for leaf, marks in idle if marks]


_NOTHING = object()


def _placed(values: Mapping[str, Any], leaf: Leaf) -> Any:
    value: Any = values
    for name in leaf.path:
        if not isinstance(value, Mapping) or name not in value:
            return _NOTHING
        value = value[name]
    return value


def _held(values: Mapping[str, Any], leaf: Leaf) -> Any:
    """A setting's value, in its own type where it has it."""
    value = _placed(values, leaf)
    if value is _NOTHING:
        return _NOTHING if leaf.required else leaf.default
    try:
        return leaf.parse(value)
    except ValueError:  # it is told where it is set
        return _NOTHING


def _says_otherwise(given: Mapping[str, Any], leaf: Leaf) -> bool:
    """What stands in a run's own file is the default, and nobody's wish."""
    return bool(_held(given, leaf) != leaf.default)


def _left_out(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = path
    inner = values.get(first)
    left = {name: value for name, value in values.items() if name != first}
    return left | {first: _left_out(inner, tuple(rest))} if rest and isinstance(inner, Mapping) else left


S = TypeVar("S", bound=Settings)


def resolve(settings: type[S], preset: Mapping[str, Any], given: Mapping[str, Any]) -> S:
    """The one place where settings come about: field defaults < preset < what was given."""
    above = nested(settings, given)
    values = merged(nested(settings, preset), above)
    idle = without_effect(settings, values)
    useless = [(leaf, mark) for leaf, mark in idle if _says_otherwise(above, leaf)]
    if useless:
        raise messages.without_effect({leaf.name: mark.where for leaf, mark in useless}, useless[0][1].setting)
    for leaf, _ in idle:
        values = _left_out(values, leaf.path)
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise messages.explained(error, {leaf.name: leaf.question for leaf in leaves(settings)}) from None
