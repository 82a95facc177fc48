"""What a run computes on, read from its settings: processes, nodes, and whether it uses a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfm.core.registry import Stage
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import get_value, list_fields
from tfm.core.settings.resolve import find_fields_without_effect


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
    without_effect = {field.name for field, _ in find_fields_without_effect(type(settings), settings.model_dump())}
    values: dict[str, Any] = {
        field.name: get_value(settings, field)
        for field in list_fields(type(settings))
        if field.name in ("device", "devices", "nodes") and field.name not in without_effect
    }
    shared = stage.is_distributed
    return Resources(
        nodes=values.get("nodes", 1) if shared else 1,
        processes=values.get("devices", 1) if shared else 1,
        uses_gpu=values.get("device", "cpu") != "cpu",
    )
