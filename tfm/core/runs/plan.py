"""A plan: steps that a worker runs in order. A later step may refer to the result of an earlier one.

The setting "@train.run" stands for the value `run` in the result of the step `train`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tfm.core import files, hints
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.job_folder import Job, create_job_folder
from tfm.core.runs.workspace import Workspace


@dataclass(frozen=True)
class Step:
    """One run of a plan. A `fresh` step always gets a new run, even if the same work was done before."""

    name: str
    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    preset: str | None = None
    fresh: bool = False

    def find_needed_steps(self) -> set[str]:
        return {step for step, _ in _iterate_references(self.settings)}


class Plan(Job):
    def __init__(self, folder: Path, workspace: Workspace) -> None:
        super().__init__(folder)
        self.workspace = workspace

    @classmethod
    def create(cls, workspace: Workspace, name: str, steps: list[Step], key: str) -> Plan:
        content = {"name": name, "steps": [asdict(step) for step in steps]}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        return cls(create_job_folder(workspace.plans_folder, name, {"plan.yaml": text}, key), workspace)

    def read_steps(self) -> list[Step]:
        file = self.folder / "plan.yaml"
        try:
            return [Step(**step) for step in files.read_yaml(file)["steps"]]
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
            raise RunError(
                f"{file} is damaged or missing",
                hint=f"restore the file, or remove the plan: {hints.command('runs remove', self.id)}",
            ) from None


def check_steps(steps: list[Step]) -> None:
    """Check that names are unique and that each step only needs steps before it."""
    before: set[str] = set()
    for step in steps:
        if step.name in before:
            raise SettingsError(f"two steps of the plan are called {step.name}", hint="give each step its own name")
        missing = step.find_needed_steps() - before
        if missing:
            raise SettingsError(
                f"step {step.name} needs the result of {', '.join(sorted(missing))}, which is not before it",
                hint="put each step after the steps that it needs",
            )
        before.add(step.name)


def fill_references(settings: Any, results: Mapping[str, Mapping[str, Any]]) -> Any:
    """Replace each "@step.value" with the value from that step's result."""
    if isinstance(settings, dict):
        return {name: fill_references(value, results) for name, value in settings.items()}
    if isinstance(settings, list):
        return [fill_references(value, results) for value in settings]
    for step, value in _iterate_references(settings):
        if value not in results[step]:
            raise SettingsError(
                f"the result of step {step} has no value {value}", hint="it has: " + ", ".join(results[step])
            )
        return results[step][value]
    return settings


def _iterate_references(settings: Any) -> Iterator[tuple[str, str]]:
    if isinstance(settings, dict | list):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from _iterate_references(value)
    elif isinstance(settings, str) and settings.startswith("@"):
        step, _, value = settings[1:].partition(".")
        yield step, value


def compute_plan_key(name: str, steps: list[Step]) -> str:
    content = json.dumps([name, [asdict(step) for step in steps]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]
