"""The settings of a run without groups."""

from __future__ import annotations

from typing import Any

from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.core.settings.serialize import dump_plain_values


def read_flat_settings(run: Run) -> dict[str, Any]:
    """Map the name of each setting to its plain value, in the order of the settings."""
    return _flatten(dump_plain_values(load_settings(run)))


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value) if isinstance(value, dict) else {name: value}
    return flat
