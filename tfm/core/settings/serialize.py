"""Settings as a file and as a key carry them: plain values, those that differ, and YAML with its questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tfm.core.settings.fields import leaves, value_at
from tfm.core.settings.schema import OUT_OF_KEY, Settings


def as_yaml_values(settings: Settings) -> dict[str, Any]:
    """Every value, plain enough for YAML and JSON."""
    return settings.model_dump(mode="json")


def differing(settings: Settings) -> dict[str, Any]:
    """Leaf name → plain value, for what is not the default and is part of a run's key."""
    outside = {leaf.name for leaf in leaves(type(settings)) if OUT_OF_KEY in leaf.field.metadata}
    return {name: value for name, value in said(settings).items() if name not in outside}


def said(settings: Settings) -> dict[str, Any]:
    """Leaf name → plain value, for all that is not the default: what other settings need be told of it."""
    result = {}
    plain = as_yaml_values(settings)
    for leaf in leaves(type(settings)):
        value = value_at(settings, leaf)
        if leaf.required or value != leaf.default:
            shown: Any = plain
            for name in leaf.path:
                shown = shown[name]
            result[leaf.name] = shown
    return result


def as_commented_yaml(settings: Settings) -> str:
    """The same values for a person: each under the question it answers."""
    questions = {leaf.path: leaf.question for leaf in leaves(type(settings))}

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

    return "\n".join(lines(as_yaml_values(settings), ())) + "\n"
