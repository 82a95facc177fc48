"""The runs and plans that stand in a workspace: listed, and found by name."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from tfm.core import hints
from tfm.core.errors import RunError
from tfm.core.runs.job import Job
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace


def list_runs(workspace: Workspace) -> list[Run]:
    """Newest last."""
    return sorted((Run(folder, workspace) for folder in _job_folders(workspace.runs_folder)), key=_created)


def list_plans(workspace: Workspace) -> list[Plan]:
    """Newest last."""
    return sorted((Plan(folder, workspace) for folder in _job_folders(workspace.plans_folder)), key=_created)


def find_run(workspace: Workspace, name: str) -> Run:
    """A run by its id, or by any part of it that names only one."""
    return _only_match(name, list_runs(workspace), workspace.root)


def find_job(workspace: Workspace, name: str) -> Run | Plan:
    both: list[Run | Plan] = [*list_runs(workspace), *list_plans(workspace)]
    return _only_match(name, both, workspace.root)


J = TypeVar("J", bound=Job)


def _only_match(name: str, jobs: list[J], root: Path) -> J:
    matching = [job for job in jobs if job.id == name] or [job for job in jobs if name and name in job.id]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise RunError(f"nothing in {root} is called {name!r}", hint=f"see {hints.command('runs list')}")
    raise RunError(
        f"{name!r} is part of {len(matching)} names",
        hint="give more of it: " + ", ".join(job.id for job in matching[:6]),
    )


def _created(job: Job) -> str:
    return job.read_status().created


def _job_folders(parent: Path) -> list[Path]:
    return [mark.parent for mark in parent.glob("[!.]*/status.json")]
