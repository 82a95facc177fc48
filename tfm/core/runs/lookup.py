"""The runs and plans of a workspace: list them, and find one by its name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TypeVar

from tfm.core import hints
from tfm.core.errors import RunError
from tfm.core.runs.job_folder import Job
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

J = TypeVar("J", bound=Job)


def list_runs(workspace: Workspace) -> list[Run]:
    """Newest last."""
    return _sort_by_age([Run(folder, workspace) for folder in _list_job_folders(workspace.runs_folder)])


def list_plans(workspace: Workspace) -> list[Plan]:
    """Newest last."""
    return _sort_by_age([Plan(folder, workspace) for folder in _list_job_folders(workspace.plans_folder)])


def find_run(workspace: Workspace, name: str) -> Run:
    """Find a run by its id or by a part of it that no other id contains."""
    return _find_only_match(name, list_runs(workspace), workspace.root)


def find_job(workspace: Workspace, name: str) -> Run | Plan:
    jobs: list[Run | Plan] = [*list_runs(workspace), *list_plans(workspace)]
    return _find_only_match(name, jobs, workspace.root)


def list_unused_runs(workspace: Workspace, result: str, setting: str) -> list[Run]:
    """Runs with this value in their result that no other run names in this setting; failed runs do not count."""
    runs = [(run, status) for run in list_runs(workspace) if not (status := run.read_status()).part_of]
    found = [run for run, status in runs if result in status.result]
    used = set()
    for run, status in runs if found else ():
        with contextlib.suppress(RunError):  # a run with damaged settings uses nothing
            if status.state != "failed":
                used.add(run.read_settings().get(setting))
    return [run for run in found if run.id not in used]


def _find_only_match(name: str, jobs: list[J], root: Path) -> J:
    matching = [job for job in jobs if job.id == name] or [job for job in jobs if name and name in job.id]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise RunError(f"{root} has no run or plan called {name!r}", hint=f"see {hints.command('runs list')}")
    raise RunError(
        f"{name!r} matches {len(matching)} runs or plans",
        hint="give a longer part of the name: " + ", ".join(job.id for job in matching[:6]),
    )


def _sort_by_age(jobs: list[J]) -> list[J]:
    return sorted(jobs, key=lambda job: job.read_status().created)


def _list_job_folders(parent: Path) -> list[Path]:
    return [file.parent for file in parent.glob("[!.]*/status.json")]
