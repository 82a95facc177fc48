"""Settings: what a person may choose, described once. Resolving is one function: defaults < preset < what was given.

Nothing here asks, prints or reads a terminal; forms, commands and YAML files are all made from `leaves`.
"""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo

from tfm.core import refusals
from tfm.core.errors import SettingsError


class Settings(BaseModel):
    """A field's docstring is its documentation everywhere: the first line is the question, `--help` and the YAML
    comment; the rest is what `?` shows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class Reads:
    """Marks a field that names something a run reads; its content is part of the run's key, with its name."""

    kind: Literal["dataset", "cache", "run", "path", "weights", "model"]
    made_by: tuple[str, ...] = ()  # for runs: the stages whose done runs will do; empty for any
    gives: str = ""  # for runs: the value of their result that holds settings, which hold here where nothing is said
    with_files: bool = False  # for datasets: the films and masks as well, not only what is written of them


@dataclass(frozen=True, eq=False)
class Switches:
    """Marks a mapping of named parts, each off (`false`), on (`true`) or on with values of its own. A part's class says
    what it does, in the first line of its docstring, and what may be set of it."""

    parts: Mapping[str, type[Settings]]


class NoEffect:
    """Marks a field, or a group of them, that does nothing where another setting has one of these values. It is then
    not asked for, refused where it is given all the same, and stays at its default: equal work has one key. What stands
    in `also` must hold too."""

    def __init__(self, setting: str, *values: Any, also: tuple[NoEffect, ...] = ()) -> None:
        self.setting = setting
        self.values = values
        self.also = also

    @property
    def where(self) -> str:
        values = " or ".join(str(value).lower() for value in self.values)
        own = f"{self.setting.replace('_', '-')} {self._verb} {values}"
        return " and ".join([own, *(other.where for other in self.also)])

    _verb = "is"

    def holds(self, values: Mapping[str, Any]) -> bool:
        """With these values by name; of a setting that is not among them nothing is known."""
        mine = self.setting in values and self._meets(values[self.setting])
        return mine and all(other.holds(values) for other in self.also)

    def _meets(self, value: Any) -> bool:
        return value in self.values


class NoEffectBut(NoEffect):
    """Where the other setting has any value but these."""

    _verb = "is not"

    def _meets(self, value: Any) -> bool:
        return value not in self.values


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


IMPORTANT = _Mark("IMPORTANT")  # asked first in a form; everything else waits behind "advanced"
POSITIONAL = _Mark("POSITIONAL")  # on the command line it is given without its name
OUT_OF_KEY = _Mark("OUT_OF_KEY")  # changes how fast or where a run works, never what comes out


def _given(path: object) -> object:
    if isinstance(path, str) and not path.strip():
        raise ValueError("give the path of a folder")
    return path


def _existing(path: Path) -> Path:
    path = path.expanduser().resolve()
    if not path.exists():
        raise ValueError(f"there is nothing at {path}")
    return path


def _makeable(path: Path) -> Path:
    """A folder that stands, or could be made."""
    path = path.expanduser().resolve()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise ValueError(f"{nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{nearest} cannot be written")
    return path


ProductName = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$", max_length=100)]  # of what a stage makes
DatasetName = Annotated[str, Reads("dataset")]
DatasetFilms = Annotated[str, Reads("dataset", with_files=True)]
CacheName = Annotated[str, Reads("cache")]
RunId = Annotated[str, Reads("run")]
TrainedRun = Annotated[str, Reads("run", made_by=("train",))]
StudyRun = Annotated[str, Reads("run", made_by=("tune",), gives="winner")]
ModelName = Annotated[str, Reads("model", made_by=("train",))]  # a preset of the model menu
JudgedRun = Annotated[str, Reads("run", made_by=("train", "forest", "average", "segment"))]  # one that left predictions
InputPath = Annotated[Path, Reads("path"), BeforeValidator(_given), AfterValidator(_existing)]
OutputPath = Annotated[Path, BeforeValidator(_given), AfterValidator(_makeable)]


@dataclass(frozen=True)
class Leaf:
    """One setting, as a form, a command line and a YAML file see it. Its name is unique within a stage."""

    name: str
    path: tuple[str, ...]
    field: FieldInfo
    idle: tuple[NoEffect, ...] = ()  # its own, and its groups'

    @property
    def question(self) -> str:
        return (self.field.description or self.name.replace("_", " ")).strip().split("\n", 1)[0]

    @property
    def explanation(self) -> str:
        lines = [line.strip() for line in (self.field.description or "").strip().split("\n")[1:]]
        idle = [f"It has no effect where {', or where '.join(mark.where for mark in self.idle)}."] if self.idle else []
        return "\n".join([*lines, *idle]).strip()

    @property
    def group(self) -> str:
        return self.path[-2].replace("_", " ") if len(self.path) > 1 else ""

    @property
    def required(self) -> bool:
        return self.field.is_required()

    @property
    def default(self) -> Any:
        return None if self.required else self.field.get_default(call_default_factory=True)

    @property
    def important(self) -> bool:
        return self.required or IMPORTANT in self.field.metadata

    @property
    def positional(self) -> bool:
        return POSITIONAL in self.field.metadata

    @property
    def reads(self) -> Reads | None:
        return next((mark for mark in _walk(self._annotated) if isinstance(mark, Reads)), None)

    @property
    def choices(self) -> tuple[Any, ...]:
        """Every value, where the type allows only named ones; else nothing."""
        if self.is_mapping:
            return ()
        options = [get_args(part) for part in _walk(self.field.annotation) if get_origin(part) is Literal]
        others = [part for part in _walk(self.field.annotation) if part in (int, float, str, Path)]
        return tuple(value for group in options for value in group) if options and not others else ()

    @property
    def is_bool(self) -> bool:
        return self.field.annotation is bool

    @property
    def is_list(self) -> bool:
        return any(get_origin(part) in (list, tuple) for part in _walk(self.field.annotation))

    @property
    def is_path(self) -> bool:
        return any(part is Path for part in _walk(self.field.annotation))

    @property
    def is_mapping(self) -> bool:
        return any(get_origin(part) is dict for part in _walk(self.field.annotation))

    @property
    def parts(self) -> Mapping[str, type[Settings]]:
        """What can be switched on and off in it, where it is such a mapping."""
        return next((mark.parts for mark in self.field.metadata if isinstance(mark, Switches)), {})

    def values_of(self, part: str) -> list[Leaf]:
        """What may be set of one part, each by the name that reaches it: `resize.height`."""
        return [
            Leaf(f"{part}.{inner.name}", (*self.path, part, *inner.path), inner.field, inner.idle)
            for inner in leaves(self.parts[part])
        ]

    @property
    def optional(self) -> bool:
        return any(part is type(None) for part in _walk(self.field.annotation))

    @property
    def _annotated(self) -> Any:
        return Annotated[self.field.annotation, *self.field.metadata] if self.field.metadata else self.field.annotation

    @functools.cached_property
    def _type(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._annotated)

    def parse(self, value: Any) -> Any:
        """A value in the setting's own type, or a ValueError that says why not: the check behind every keystroke."""
        try:
            return self._type.validate_python(self.from_text(value))
        except SettingsError as error:
            raise ValueError(error.message) from None
        except ValidationError as error:
            raise ValueError(", or ".join(dict.fromkeys(map(refusals.plain, error.errors())))) from None

    def from_text(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if self.optional and value.strip().lower() in ("none", ""):
            return None
        if self.is_list and not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        if not self.is_list and not self.is_mapping:
            return value
        try:
            return yaml_value(value)
        except ValueError as error:
            raise SettingsError(
                f"{self.name.replace('_', '-')}: {error}", hint=self.question, fields=(self.name,)
            ) from None


def yaml_value(text: str) -> Any:
    """One value as YAML writes it."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"{text} cannot be read: a bracket or quote is open, or too many") from None


def _walk(annotation: Any) -> Iterator[Any]:
    yield annotation
    origin = get_origin(annotation)
    if origin is Literal:
        return
    if origin in (Union, types.UnionType, Annotated, list, tuple):
        for part in get_args(annotation):
            yield from _walk(part)


@functools.cache  # asked for at every question, and a leaf keeps what checks its values
def leaves(settings: type[Settings], path: tuple[str, ...] = (), idle: tuple[NoEffect, ...] = ()) -> list[Leaf]:
    """Every setting of a class, those of its groups included, in the order they are written."""
    found: list[Leaf] = []
    for name, field in settings.model_fields.items():
        marks = (*idle, *(mark for mark in field.metadata if isinstance(mark, NoEffect)))
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found += leaves(field.annotation, (*path, name), marks)
        else:
            found.append(Leaf(name, (*path, name), field, marks))
    return found


def value_at(settings: Settings, leaf: Leaf) -> Any:
    value: Any = settings
    for name in leaf.path:
        value = getattr(value, name)
    return value


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
            raise refusals.unknown(first, [*by_name, *switches, *groups])
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
        raise refusals.not_in(leaf.name, part, leaf.parts, leaf.name)
    if not setting:
        return _at((*leaf.path, part), _on_or_off(leaf, part, value))
    known = {one.path[-1]: one for one in leaf.values_of(part)}
    if setting not in known:
        raise refusals.not_in(part, setting, known, leaf.name)
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
        raise refusals.without_effect({leaf.name: mark.where for leaf, mark in useless}, useless[0][1].setting)
    for leaf, _ in idle:
        values = _left_out(values, leaf.path)
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise refusals.explained(error, {leaf.name: leaf.question for leaf in leaves(settings)}) from None
