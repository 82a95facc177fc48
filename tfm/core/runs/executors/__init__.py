"""Where jobs are worked on: on this machine, or on a Slurm cluster."""

from __future__ import annotations

from tfm.core.errors import SettingsError
from tfm.core.runs.cluster import THIS_MACHINE, list_clusters
from tfm.core.runs.executors.executor import Executor, StartedJob
from tfm.core.runs.executors.slurm import SlurmCluster
from tfm.core.runs.executors.this_machine import ThisMachine
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.slurm_queue import read_placement
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets

__all__ = [
    "Executor",
    "SlurmCluster",
    "StartedJob",
    "ThisMachine",
    "find_executor",
    "find_place",
    "open_cluster",
    "open_executor",
]


def find_executor(job: Run | Plan, on: str | None = None) -> Executor:
    """The executor that a person names, else the one that worked on the job before."""
    return open_executor(job.workspace, on or find_place(job))


def find_place(job: Run | Plan) -> str:
    """The cluster that worked on a job before; this machine if none did."""
    placement = read_placement(job.folder)
    return placement.cluster if placement else THIS_MACHINE


def open_executor(workspace: Workspace, name: str) -> Executor:
    return ThisMachine() if name == THIS_MACHINE else open_cluster(workspace, name)


def open_cluster(workspace: Workspace, name: str) -> SlurmCluster:
    known = list_clusters(workspace)
    if name in known:
        return SlurmCluster(workspace, name)
    example, own = presets.CONFIGS / "clusters" / "example.yaml", workspace.root / "clusters" / f"{name}.yaml"
    others = f", or choose one of: {', '.join([THIS_MACHINE, *known])}" if known else ""
    raise SettingsError(
        f"there is no cluster called {name!r}", hint=f"copy {example} to {own} and change what differs{others}"
    )
