"""The settings of a run without groups."""

from __future__ import annotations

from typing import Any

from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.core.settings.resolve import find_names_without_effect
from tfm.core.settings.serialize import dump_plain_values


def read_flat_settings(run: Run) -> dict[str, Any]:
    """Map the name of each setting that has an effect to its plain value, in the order of the settings."""
    settings = load_settings(run)
    flat = _flatten(dump_plain_values(settings))
    idle = find_names_without_effect(type(settings), {}, run.read_settings())
    return {name: value for name, value in flat.items() if name not in idle}


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value) if isinstance(value, dict) else {name: value}
    return flat
