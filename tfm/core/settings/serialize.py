"""Settings as plain values: for files, for run keys, and as YAML with a comment above each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfm.core import files
from tfm.core.settings.base import NOT_IN_RUN_KEY, Settings
from tfm.core.settings.fields import list_fields


def dump_plain_values(settings: Settings) -> dict[str, Any]:
    """Every value, plain enough for YAML and JSON."""
    return settings.model_dump(mode="json")


def collect_non_default_values(settings: Settings) -> dict[str, Any]:
    """Map the name of each field that differs from its default to its plain value."""
    plain = dump_plain_values(settings)
    result = {}
    for field in list_fields(type(settings)):
        value: Any = settings
        plain_value: Any = plain
        for name in field.path:
            value, plain_value = getattr(value, name), plain_value[name]
        if field.is_required or value != field.default:
            result[field.name] = plain_value
    return result


def collect_key_values(settings: Settings) -> dict[str, Any]:
    """The non-default values that are part of a run's key."""
    excluded = {field.name for field in list_fields(type(settings)) if NOT_IN_RUN_KEY in field.info.metadata}
    return {name: value for name, value in collect_non_default_values(settings).items() if name not in excluded}


def format_commented_yaml(settings: Settings) -> str:
    """All values as YAML for a person: each below the question that it answers."""
    questions = {field.path: field.question for field in list_fields(type(settings))}

    def format_lines(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
        indent = "  " * len(path)
        for name, value in values.items():
            here = (*path, name)
            if here in questions:
                yield f"{indent}# {questions[here]}"
                text = files.format_yaml({name: value})
                yield from (indent + line for line in text.rstrip("\n").split("\n"))
            else:
                yield f"{indent}{name}:"
                yield from format_lines(value, here)

    return "\n".join(format_lines(dump_plain_values(settings), ())) + "\n"
