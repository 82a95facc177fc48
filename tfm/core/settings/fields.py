"""The settings of a class one by one, as a form, a command line and a YAML file see them.

What holds of what was said stands in resolving.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tfm.core.errors import SettingsError
from tfm.core.settings import messages
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, Input, NoEffectWhen, Settings, Switches


@dataclass(frozen=True)
class SettingField:
    """One setting, as a form, a command line and a YAML file see it. Its name is unique within a stage."""

    name: str
    path: tuple[str, ...]
    info: FieldInfo
    no_effect: tuple[NoEffectWhen, ...] = ()  # its own, and its groups'

    @property
    def question(self) -> str:
        return (self.info.description or self.name.replace("_", " ")).strip().split("\n", 1)[0]

    @property
    def explanation(self) -> str:
        lines = [line.strip() for line in (self.info.description or "").strip().split("\n")[1:]]
        if self.no_effect:
            lines.append(f"It has no effect where {', or where '.join(mark.where for mark in self.no_effect)}.")
        return "\n".join(lines).strip()

    @property
    def group(self) -> str:
        return self.path[-2].replace("_", " ") if len(self.path) > 1 else ""

    @property
    def is_required(self) -> bool:
        return self.info.is_required()

    @property
    def default(self) -> Any:
        return None if self.is_required else self.info.get_default(call_default_factory=True)

    @property
    def is_important(self) -> bool:
        return self.is_required or IMPORTANT in self.info.metadata

    @property
    def is_positional(self) -> bool:
        return POSITIONAL in self.info.metadata

    @property
    def input(self) -> Input | None:
        return next((mark for mark in _walk(self._annotated) if isinstance(mark, Input)), None)

    @property
    def choices(self) -> tuple[Any, ...]:
        """Every value, where the type allows only named ones; else nothing."""
        if self.is_mapping:
            return ()
        options = [get_args(part) for part in _walk(self.info.annotation) if get_origin(part) is Literal]
        others = [part for part in _walk(self.info.annotation) if part in (int, float, str, Path)]
        return tuple(value for group in options for value in group) if options and not others else ()

    @property
    def is_bool(self) -> bool:
        return self.info.annotation is bool

    @property
    def is_list(self) -> bool:
        return any(get_origin(part) in (list, tuple) for part in _walk(self.info.annotation))

    @property
    def is_path(self) -> bool:
        return any(part is Path for part in _walk(self.info.annotation))

    @property
    def is_mapping(self) -> bool:
        return any(get_origin(part) is dict for part in _walk(self.info.annotation))

    @property
    def parts(self) -> Mapping[str, type[Settings]]:
        """What can be switched on and off in it, where it is such a mapping."""
        return next((mark.parts for mark in self.info.metadata if isinstance(mark, Switches)), {})

    def list_part_fields(self, part: str) -> list[SettingField]:
        """What may be set of one part, each by the name that reaches it: `resize.height`."""
        return [
            SettingField(f"{part}.{inner.name}", (*self.path, part, *inner.path), inner.info, inner.no_effect)
            for inner in list_fields(self.parts[part])
        ]

    @property
    def is_optional(self) -> bool:
        return any(part is type(None) for part in _walk(self.info.annotation))

    @property
    def _annotated(self) -> Any:
        return Annotated[self.info.annotation, *self.info.metadata] if self.info.metadata else self.info.annotation

    @functools.cached_property
    def _type(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._annotated)

    def parse(self, value: Any) -> Any:
        """A value in the setting's own type, or a ValueError that says why not: the check behind every keystroke."""
        try:
            return self._type.validate_python(self.parse_text(value))
        except SettingsError as error:
            raise ValueError(error.message) from None
        except ValidationError as error:
            raise ValueError(", or ".join(dict.fromkeys(map(messages.describe_problem, error.errors())))) from None

    def parse_text(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if self.is_optional and value.strip().lower() in ("none", ""):
            return None
        if self.is_list and not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        if not self.is_list and not self.is_mapping:
            return value
        try:
            return parse_yaml(value)
        except ValueError as error:
            raise SettingsError(
                f"{self.name.replace('_', '-')}: {error}", hint=self.question, fields=(self.name,)
            ) from None


def parse_yaml(text: str) -> Any:
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


@functools.cache  # asked for at every question, and a field keeps what checks its values
def list_fields(
    settings: type[Settings], path: tuple[str, ...] = (), idle: tuple[NoEffectWhen, ...] = ()
) -> list[SettingField]:
    """Every setting of a class, those of its groups included, in the order they are written."""
    found: list[SettingField] = []
    for name, field in settings.model_fields.items():
        marks = (*idle, *(mark for mark in field.metadata if isinstance(mark, NoEffectWhen)))
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found += list_fields(field.annotation, (*path, name), marks)
        else:
            found.append(SettingField(name, (*path, name), field, marks))
    return found


def get_value(settings: Settings, field: SettingField) -> Any:
    value: Any = settings
    for name in field.path:
        value = getattr(value, name)
    return value
