"""What a run computes on, read from its settings: processes, nodes, and whether it uses a GPU."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tfm.core import registry
from tfm.core.registry import Stage
from tfm.core.runs.plan import Step
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import find_fields_without_effect, get_parsed_value, merge, place_values


@dataclass(frozen=True)
class Resources:
    nodes: int = 1
    processes: int = 1  # on each node, one for each GPU
    uses_gpu: bool = False

    @property
    def is_distributed(self) -> bool:
        return self.nodes * self.processes > 1


def read_resources(stage: Stage, settings: Settings) -> Resources:
    """A stage with the setting `device` uses a GPU unless the CPU was chosen."""
    return _read_from_values(stage, settings.model_dump())


def read_step_resources(workspace: Workspace, steps: Iterable[Step]) -> dict[str, Resources]:
    """What each step computes on. Its other settings may refer to results that do not exist yet."""
    load = functools.cache(functools.partial(find_preset, workspace))  # many steps have the same preset
    found = {}
    for step in steps:
        stage, preset = registry.find_stage(step.stage), load(step.stage, step.preset)
        below = place_values(stage.settings, preset.settings if preset else {})
        found[step.name] = _read_from_values(stage, merge(below, place_values(stage.settings, step.settings)))
    return found


def _read_from_values(stage: Stage, nested: Mapping[str, Any]) -> Resources:
    without_effect = {field.name for field, _ in find_fields_without_effect(stage.settings, nested)}
    values: dict[str, Any] = {
        field.name: get_parsed_value(nested, field)
        for field in list_fields(stage.settings)
        if field.name in ("device", "devices", "nodes") and field.name not in without_effect
    }
    shared = stage.is_distributed
    return Resources(
        nodes=values.get("nodes", 1) if shared else 1,
        processes=values.get("devices", 1) if shared else 1,
        uses_gpu=values.get("device", "cpu") != "cpu",
    )
