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
    return [Step(**_with(step, chosen)) for step in files.read_yaml(CONFIGS / "demo.yaml")["steps"]]


def _with(value: Any, chosen: dict[str, Any]) -> Any:
    """The YAML's words in braces, replaced by what was chosen."""
    if isinstance(value, dict):
        return {name: _with(part, chosen) for name, part in value.items()}
    if isinstance(value, list):
        return [_with(part, chosen) for part in value]
    return value.format(**chosen) if isinstance(value, str) else value
