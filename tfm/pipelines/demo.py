"""Build the plan of the demo from configs/demo.yaml."""

from __future__ import annotations

from typing import Any

from tfm.commands.demo import Demo
from tfm.core import files
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.presets import CONFIGS


def plan_demo(settings: Demo, workspace: Workspace) -> list[Step]:
    name = "demo-shuffled" if settings.shuffle_labels else "demo"
    if settings.traps != "none":
        name += "-traps"
    chosen = {
        "out": str(workspace.root / "phantoms" / name),
        "name": name,
        "shuffle_labels": settings.shuffle_labels,
        "traps": settings.traps,
    }
    return [Step(**_fill_in(step, chosen)) for step in files.read_yaml(CONFIGS / "demo.yaml")["steps"]]


def _fill_in(value: Any, chosen: dict[str, Any]) -> Any:
    """Replace the names in braces by their values."""
    if isinstance(value, dict):
        return {name: _fill_in(part, chosen) for name, part in value.items()}
    if isinstance(value, list):
        return [_fill_in(part, chosen) for part in value]
    return value.format(**chosen) if isinstance(value, str) else value
