"""The runs and plans of a workspace: list them, and find one by its name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from tfm.core import hints
from tfm.core.errors import RunError
from tfm.core.runs.job_folder import Job, Status
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

J = TypeVar("J", bound=Job)


def list_runs(workspace: Workspace) -> list[Run]:
    """Newest last."""
    return [run for run, _ in read_runs(workspace)]


def read_runs(workspace: Workspace) -> list[tuple[Run, Status]]:
    """The runs with their statuses, newest last. Where there are hundreds, this takes a while: read them once."""
    return _read_statuses([Run(folder, workspace) for folder in _list_job_folders(workspace.runs_folder)])


def read_plans(workspace: Workspace) -> list[tuple[Plan, Status]]:
    return _read_statuses([Plan(folder, workspace) for folder in _list_job_folders(workspace.plans_folder)])


def find_run(workspace: Workspace, name: str) -> Run:
    """Find a run by its id or by a part of it that no other id contains."""
    folder = workspace.runs_folder / name
    if name == folder.name and not name.startswith(".") and (folder / "status.json").is_file():  # no need to list all
        return Run(folder, workspace)
    runs = [Run(folder, workspace) for folder in _list_job_folders(workspace.runs_folder)]
    return _find_only_match(name, runs, workspace.root)


def find_job(workspace: Workspace, name: str) -> Run | Plan:
    """Find a run or plan like `find_run`, or by its name in the list of runs."""
    jobs: list[Run | Plan] = [Run(folder, workspace) for folder in _list_job_folders(workspace.runs_folder)]
    jobs += [Plan(folder, workspace) for folder in _list_job_folders(workspace.plans_folder)]
    if sum(name in job.id for job in jobs) != 1:
        for listed in JobIndex(workspace).everything:
            if listed.name == name:
                return listed.job
    return _find_only_match(name, jobs, workspace.root)


def list_unused_runs(runs: Iterable[tuple[Run, Status]], result: str, setting: str) -> list[Run]:
    """Runs with this value in their result that no other run names in this setting; failed runs do not count."""
    runs = [(run, status) for run, status in runs if not status.part_of]
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


def _read_statuses(jobs: list[J]) -> list[tuple[J, Status]]:
    return sorted(((job, job.read_status()) for job in jobs), key=lambda one: one[1].created)


def _list_job_folders(parent: Path) -> list[Path]:
    return sorted(file.parent for file in parent.glob("[!.]*/status.json"))
