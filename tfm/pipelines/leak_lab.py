"""Build the plan of the leak lab: one training for each way to split, and their comparison."""

from __future__ import annotations

from typing import get_args

from tfm.commands.leak_lab import LeakLab
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.serialize import dump_plain_values
from tfm.data.settings import WayToSplit
from tfm.pipelines.leak_training import resolve_training


def plan_leak_lab(settings: LeakLab, workspace: Workspace) -> list[Step]:
    resolve_training(settings, workspace)  # refuses a model that cannot be used, before the first step
    given = dump_plain_values(settings)
    ways = get_args(WayToSplit)
    steps = [Step(way, "leak-training", {"way": way, **given}) for way in ways]
    return [*steps, Step("comparison", "leak-comparison", {"runs": [f"@{way}.run" for way in ways]})]
