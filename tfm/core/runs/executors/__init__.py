"""Where jobs are worked on: on this machine, or on a Slurm cluster."""

from __future__ import annotations

from tfm.core.runs.executors.executor import Executor, StartedJob
from tfm.core.runs.executors.this_machine import ThisMachine
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run

__all__ = ["Executor", "StartedJob", "ThisMachine", "find_executor"]


def find_executor(job: Run | Plan) -> Executor:
    """The executor that works on a job, as its folder says."""
    return ThisMachine()
