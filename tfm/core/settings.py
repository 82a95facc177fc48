"""Settings: what a person may choose, described once. Resolving is one function: defaults < preset < what was given.

Nothing here asks, prints or reads a terminal; forms, commands and YAML files are all made from `leaves`.
"""

from __future__ import annotations

import difflib
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

from tfm.core.errors import SettingsError


class Settings(BaseModel):
    """A field's docstring is its documentation everywhere: the first line is the question, `--help` and the YAML
    comment; the rest is what `?` shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


@dataclass(frozen=True)
class Reads:
    """Marks a field that names something a run reads; its content is part of the run's key, with its name."""

    kind: Literal["dataset", "cache", "run", "path", "weights"]
    made_by: tuple[str, ...] = ()  # for runs: the stages whose done runs will do; empty for any


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
CacheName = Annotated[str, Reads("cache")]
RunId = Annotated[str, Reads("run")]
TrainedRun = Annotated[str, Reads("run", made_by=("train",))]
InputPath = Annotated[Path, Reads("path"), BeforeValidator(_given), AfterValidator(_existing)]
OutputPath = Annotated[Path, BeforeValidator(_given), AfterValidator(_makeable)]


@dataclass(frozen=True)
class Leaf:
    """One setting, as a form, a command line and a YAML file see it. Its name is unique within a stage."""

    name: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def question(self) -> str:
        return (self.field.description or self.name.replace("_", " ")).strip().split("\n", 1)[0]

    @property
    def explanation(self) -> str:
        return "\n".join(line.strip() for line in (self.field.description or "").strip().split("\n")[1:]).strip()

    @property
    def group(self) -> str:
        return self.path[0].replace("_", " ") if len(self.path) > 1 else ""

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
    def optional(self) -> bool:
        return any(part is type(None) for part in _walk(self.field.annotation))

    @property
    def _annotated(self) -> Any:
        return Annotated[self.field.annotation, *self.field.metadata] if self.field.metadata else self.field.annotation

    def parse(self, value: Any) -> Any:
        """A value in the setting's own type, or a ValueError that says why not: the check behind every keystroke."""
        try:
            return TypeAdapter(self._annotated).validate_python(self.from_text(value))
        except SettingsError as error:
            raise ValueError(error.message) from None
        except ValidationError as error:
            raise ValueError("; ".join(dict.fromkeys(map(_plain, error.errors())))) from None

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


def leaves(settings: type[Settings], path: tuple[str, ...] = ()) -> list[Leaf]:
    """Every setting of a class, those of its groups included, in the order they are written."""
    found: list[Leaf] = []
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found += leaves(field.annotation, (*path, name))
        else:
            found.append(Leaf(name, (*path, name), field))
    return found


def value_at(settings: Settings, leaf: Leaf) -> Any:
    value: Any = settings
    for name in leaf.path:
        value = getattr(value, name)
    return value


def nested(settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, put where it belongs: leaf names may be flat, groups may be nested, and `a.b` reaches into a
    mapping (`clahe.clip_limit`) or a group."""
    by_name = {leaf.name: leaf for leaf in leaves(settings)}
    mappings = [leaf for leaf in by_name.values() if leaf.is_mapping]
    placed: dict[str, Any] = {}
    for name, value in given.items():
        first, _, rest = name.partition(".")
        leaf = by_name.get(name)
        if leaf is not None:
            _put(placed, leaf.path, leaf.from_text(value))
        elif name in settings.model_fields:
            placed = merged(placed, {name: nested(_group(settings, name), value)})
        elif rest and first in settings.model_fields:
            _put(placed, tuple(name.split(".")), value)
        elif rest and mappings:
            _put(placed, (*mappings[0].path, *name.split(".")), value)
        else:
            raise _unknown(name, by_name)
    return placed


def _group(settings: type[Settings], name: str) -> type[Settings]:
    annotation = settings.model_fields[name].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, Settings)
    return annotation


def _put(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        target = target.setdefault(name, {})
    target[path[-1]] = merged(target[path[-1]], value) if isinstance(target.get(path[-1]), dict) else value


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both name a value, `above` wins."""
    result = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if both else value
    return result


S = TypeVar("S", bound=Settings)


def resolve(settings: type[S], preset: Mapping[str, Any], given: Mapping[str, Any]) -> S:
    """The one place where settings come about: field defaults < preset < what was given."""
    try:
        return settings.model_validate(merged(nested(settings, preset), nested(settings, given)))
    except ValidationError as error:
        raise _explained(settings, error) from None


def _explained(settings: type[Settings], error: ValidationError) -> SettingsError:
    known = {leaf.name: leaf for leaf in leaves(settings)}
    lines, fields = [], []
    for item in error.errors():
        where = [str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-"))]
        if item["type"] == "extra_forbidden":
            return _unknown(where[-1], known)
        name = next((part for part in reversed(where) if part in known), ".".join(where))
        what = _plain(item)
        shown = item.get("input")
        given = f" (given: {shown})" if item["type"] != "missing" and isinstance(shown, str | int | float) else ""
        line = f"{name.replace('_', '-')}: {what}{given}" if name else f"{what}{given}"
        if line not in lines:
            lines.append(line)
        fields.append(name)
    questions = [f"{name.replace('_', '-')}: {known[name].question}" for name in dict.fromkeys(fields) if name in known]
    return SettingsError(
        "\n".join(lines),
        hint="\n".join(questions) or "change one of the settings named above",
        fields=tuple(dict.fromkeys(name for name in fields if name in known)),
    )


_PLAIN_WORDS = {
    "missing": "is needed",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be yes or no",
    "string_pattern_mismatch": "may hold letters, digits, dots, dashes and underscores only, a letter or digit first",
    "too_short": "needs at least one",
    "string_too_long": "is too long",
}


def _plain(item: Mapping[str, Any]) -> str:
    """pydantic's complaint in words for a person."""
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return _PLAIN_WORDS.get(item["type"], message[:1].lower() + message[1:])


def _unknown(name: str, known: Mapping[str, Any]) -> SettingsError:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "the settings are: " + ", ".join(sorted(known))
    return SettingsError(f"no setting is called {name}", hint=hint)
