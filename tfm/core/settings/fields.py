"""The fields of a settings class one by one, as a form, a command line and a YAML file see them.

How values are merged and checked together is in `resolve`.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tfm.core import files
from tfm.core.errors import SettingsError
from tfm.core.settings import messages
from tfm.core.settings.base import IMPORTANT, POSITIONAL, Input, NoEffectWhen, Settings, Switches


@dataclass(frozen=True)
class SettingField:
    """One setting. Its name is unique within a command."""

    name: str
    path: tuple[str, ...]
    info: FieldInfo
    no_effect: tuple[NoEffectWhen, ...] = ()  # its own marks and those of its groups

    @property
    def question(self) -> str:
        return (self.info.description or self.name.replace("_", " ")).strip().split("\n", 1)[0]

    @property
    def explanation(self) -> str:
        lines = [line.strip() for line in (self.info.description or "").strip().split("\n")[1:]]
        if self.no_effect:
            lines.append(f"It has no effect when {', or when '.join(mark.condition for mark in self.no_effect)}.")
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
        return next((mark for mark in _iterate_types(self._annotated) if isinstance(mark, Input)), None)

    @property
    def choices(self) -> tuple[Any, ...]:
        """Every allowed value, if the type only allows literals; else nothing."""
        if self.is_mapping:
            return ()
        options = [get_args(part) for part in self._types if get_origin(part) is Literal]
        others = [part for part in self._types if part in (int, float, str, Path)]
        return tuple(value for group in options for value in group) if options and not others else ()

    @property
    def choice_explanations(self) -> dict[Any, str]:
        """What each choice means: the explanation says it as "official: the test set of TCIA. random: …"."""
        names = "|".join(sorted((re.escape(str(value)) for value in self.choices), key=len, reverse=True))
        text = self.explanation.replace("\n", " ")
        pieces = re.split(rf"(?:^|(?<=[.;] ))({names}): ", text) if names else []
        meanings = dict(zip(pieces[1::2], pieces[2::2], strict=True))
        return {
            value: re.split(r"[.;](?: |$)", meanings[str(value)])[0] for value in self.choices if str(value) in meanings
        }

    @property
    def is_bool(self) -> bool:
        return self.info.annotation is bool

    @property
    def is_list(self) -> bool:
        return any(get_origin(part) in (list, tuple) for part in self._types)

    @property
    def is_path(self) -> bool:
        return any(part is Path for part in self._types)

    @property
    def is_mapping(self) -> bool:
        return any(get_origin(part) is dict for part in self._types)

    @property
    def is_optional(self) -> bool:
        return any(part is type(None) for part in self._types)

    @property
    def parts(self) -> Mapping[str, type[Settings]]:
        """The classes of the parts that a mapping can switch on and off, by name."""
        return next((mark.parts for mark in self.info.metadata if isinstance(mark, Switches)), {})

    def list_part_fields(self, part: str) -> list[SettingField]:
        """The fields of one part, with dotted names such as `resize.height`."""
        return [
            SettingField(f"{part}.{inner.name}", (*self.path, part, *inner.path), inner.info, inner.no_effect)
            for inner in list_fields(self.parts[part])
        ]

    @property
    def _types(self) -> list[Any]:
        return list(_iterate_types(self.info.annotation))

    @property
    def _annotated(self) -> Any:
        return Annotated[self.info.annotation, *self.info.metadata] if self.info.metadata else self.info.annotation

    @functools.cached_property
    def _type_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._annotated)

    def parse(self, value: Any) -> Any:
        """Convert a value to the field's type. Raises ValueError with a reason that a prompt can show."""
        try:
            return self._type_adapter.validate_python(self.parse_text(value))
        except SettingsError as error:
            raise ValueError(error.message) from None
        except ValidationError as error:
            raise ValueError(", or ".join(dict.fromkeys(map(messages.describe_problem, error.errors())))) from None

    def parse_text(self, value: Any) -> Any:
        """Convert text from a command line to a plain value; other values stay as they are."""
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
    try:
        return files.parse_yaml(text)
    except ValueError:
        raise ValueError(f"{text} cannot be read: check its brackets and quotes") from None


def _iterate_types(annotation: Any) -> Iterator[Any]:
    yield annotation
    origin = get_origin(annotation)
    if origin is Literal:
        return
    if origin in (Union, types.UnionType, Annotated, list, tuple):
        for part in get_args(annotation):
            yield from _iterate_types(part)


@functools.cache  # called at every question, and each field keeps its type adapter
def list_fields(
    settings: type[Settings], path: tuple[str, ...] = (), no_effect: tuple[NoEffectWhen, ...] = ()
) -> list[SettingField]:
    """Every field of a class and of its groups, in the order they are written.

    Args:
        path: The names of the groups that contain the class.
        no_effect: The marks of these groups.
    """
    fields: list[SettingField] = []
    for name, info in settings.model_fields.items():
        marks = (*no_effect, *(mark for mark in info.metadata if isinstance(mark, NoEffectWhen)))
        if isinstance(info.annotation, type) and issubclass(info.annotation, Settings):
            fields += list_fields(info.annotation, (*path, name), marks)
        else:
            fields.append(SettingField(name, (*path, name), info, marks))
    return fields


def find_field(settings: type[Settings], name: str) -> SettingField:
    return next(field for field in list_fields(settings) if field.name == name)


def get_value(settings: Settings, field: SettingField) -> Any:
    value: Any = settings
    for name in field.path:
        value = getattr(value, name)
    return value
