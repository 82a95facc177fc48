"""A plan: runs that a worker takes in order, where a later step may name an earlier one's result.

A step's settings may say "@train.run": the value named `run` in the result of the step named `train`.
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
from tfm.core.runs.job import Job, create_job_folder
from tfm.core.runs.workspace import Workspace


@dataclass(frozen=True)
class Step:
    name: str
    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    preset: str | None = None
    fresh: bool = False  # its run is a new one, also where the same was done before

    def needs(self) -> set[str]:
        """The names of the steps whose results this one reads."""
        return {step for step, _ in _references(self.settings)}


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
                f"{file} is damaged or gone",
                hint=f"restore that file, or remove the plan: {hints.command('runs remove', self.id)}",
            ) from None


def check_steps(steps: list[Step]) -> None:
    """Names are unique and a step reads only from steps before it."""
    before: set[str] = set()
    for step in steps:
        if step.name in before:
            raise SettingsError(f"two steps of a plan are called {step.name}", hint="give each step a name of its own")
        missing = step.needs() - before
        if missing:
            raise SettingsError(
                f"step {step.name} reads the result of {', '.join(sorted(missing))}, which does not come before it",
                hint="put the steps in the order in which they need each other",
            )
        before.add(step.name)


def fill_references(settings: Any, results: Mapping[str, Mapping[str, Any]]) -> Any:
    """Settings with each "@step.value" replaced by what that step's result says."""
    if isinstance(settings, dict):
        return {name: fill_references(value, results) for name, value in settings.items()}
    if isinstance(settings, list):
        return [fill_references(value, results) for value in settings]
    if isinstance(settings, str) and settings.startswith("@"):
        step, value = _split(settings)
        if value not in results[step]:
            raise SettingsError(f"the result of {step} has no {value}", hint="it has: " + ", ".join(results[step]))
        return results[step][value]
    return settings


def _references(settings: Any) -> Iterator[tuple[str, str]]:
    if isinstance(settings, dict):
        for value in settings.values():
            yield from _references(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _references(value)
    elif isinstance(settings, str) and settings.startswith("@"):
        yield _split(settings)


def _split(reference: str) -> tuple[str, str]:
    step, _, value = reference[1:].partition(".")
    return step, value


def compute_plan_key(name: str, steps: list[Step]) -> str:
    content = json.dumps([name, [asdict(step) for step in steps]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]
