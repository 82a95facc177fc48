"""Where jobs are worked on: on this machine, or on a Slurm cluster."""

from __future__ import annotations

from tfm.core.runs.executors.executor import Executor, StartedJob
from tfm.core.runs.executors.slurm import SlurmCluster
from tfm.core.runs.executors.this_machine import ThisMachine
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.slurm_queue import read_placement

__all__ = ["Executor", "SlurmCluster", "StartedJob", "ThisMachine", "find_executor"]


def find_executor(job: Run | Plan) -> Executor:
    """The executor that worked on a job before; this machine if none did."""
    placement = read_placement(job.folder)
    return SlurmCluster(job.workspace, placement.cluster) if placement else ThisMachine()
