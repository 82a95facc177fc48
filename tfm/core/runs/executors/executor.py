"""The interface of an executor: where jobs are worked on. The state of a job is read from its folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tfm.core.runs.plan import Plan
from tfm.core.runs.resources import Resources
from tfm.core.runs.run import Run


@dataclass(frozen=True)
class StartedJob:
    """A job and its worker process; None if there is no process of this one to wait for."""

    job: Run | Plan
    process: subprocess.Popen[bytes] | None = None

    def is_working(self) -> bool:
        """Whether the worker process lives."""
        return self.process is not None and self.process.poll() is None

    def is_running(self) -> bool:
        return self.is_working() or self.job.is_alive()


class Executor(Protocol):
    def check(self, shapes: Iterable[Resources]) -> None:
        """Raise an error if jobs that need these resources can never run. Nothing is created."""

    def submit(self, job: Run | Plan) -> StartedJob:
        """Start what is not done yet, unless the job is alive. It is alive on return, and outlives this process."""

    def pause(self, job: Run | Plan) -> None:
        """Stop the job at its next safe point."""

    def cancel(self, job: Run | Plan) -> None:
        """Stop the job at once. Files that are complete stay."""
