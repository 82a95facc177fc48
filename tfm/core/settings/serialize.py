"""Settings as a file and as a key carry them: plain values, those that differ, and YAML with its questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tfm.core.settings.fields import get_value, list_fields
from tfm.core.settings.schema import NOT_IN_RUN_KEY, Settings


def dump_plain_values(settings: Settings) -> dict[str, Any]:
    """Every value, plain enough for YAML and JSON."""
    return settings.model_dump(mode="json")


def collect_key_values(settings: Settings) -> dict[str, Any]:
    """Leaf name → plain value, for what is not the default and is part of a run's key."""
    outside = {field.name for field in list_fields(type(settings)) if NOT_IN_RUN_KEY in field.info.metadata}
    return {name: value for name, value in collect_non_default_values(settings).items() if name not in outside}


def collect_non_default_values(settings: Settings) -> dict[str, Any]:
    """Leaf name → plain value, for all that is not the default: what other settings need be told of it."""
    result = {}
    plain = dump_plain_values(settings)
    for field in list_fields(type(settings)):
        value = get_value(settings, field)
        if field.is_required or value != field.default:
            shown: Any = plain
            for name in field.path:
                shown = shown[name]
            result[field.name] = shown
    return result


def format_commented_yaml(settings: Settings) -> str:
    """The same values for a person: each under the question it answers."""
    questions = {field.path: field.question for field in list_fields(type(settings))}

    def lines(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
        indent = "  " * len(path)
        for name, value in values.items():
            here = (*path, name)
            if here in questions:
                yield f"{indent}# {questions[here]}"
                text = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True)
                yield from (indent + line for line in text.rstrip("\n").split("\n"))
            else:
                yield f"{indent}{name}:"
                yield from lines(value, here)

    return "\n".join(lines(dump_plain_values(settings), ())) + "\n"
