"""This machine as an executor: one worker process for each job."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable

from tfm.core.python_path import build_python_path
from tfm.core.runs.executors.executor import StartedJob
from tfm.core.runs.job_folder import Job
from tfm.core.runs.plan import Plan
from tfm.core.runs.resources import Resources
from tfm.core.runs.run import Run

_WAIT_SECONDS = 0.02
STOPPED = "You stopped it. It goes on from its last checkpoint when it is resumed"


class ThisMachine:
    def check(self, shapes: Iterable[Resources]) -> None:
        """A run says itself what this machine lacks."""

    def submit(self, job: Run | Plan) -> StartedJob:
        if job.is_alive():
            return StartedJob(job)
        job.withdraw_pause()
        started = StartedJob(job, start_worker(job))
        while started.is_working() and not job.is_alive():
            time.sleep(_WAIT_SECONDS)
        return started

    def pause(self, job: Run | Plan) -> None:
        job.request_pause()

    def cancel(self, job: Run | Plan) -> None:
        """Kill the worker and its child processes."""
        pid, spent = job.read_status().pid, job.read_seconds_spent()
        if pid is not None and job.is_alive() and job.read_status().host == socket.gethostname():
            with contextlib.suppress(ProcessLookupError):
                kill_tree(pid)
            while job.is_alive():
                time.sleep(_WAIT_SECONDS)
            if job.read_recorded_status().state == "running":  # it had not ended by itself
                job.update(state="paused", seconds=spent, message=STOPPED)


def kill_tree(pid: int) -> None:
    """Kill a worker and its child processes. On Windows, SIGTERM ends a process at once."""
    os.killpg(pid, signal.SIGKILL) if hasattr(os, "killpg") else os.kill(pid, signal.SIGTERM)


def start_worker(job: Job, step: str | None = None) -> subprocess.Popen[bytes]:
    """Start the worker process of a job, or of one step of a plan."""
    with open(job.log_file, "ab") as log:
        return subprocess.Popen(
            # -P: do not import a tfm package from the current folder
            [sys.executable, "-P", "-m", "tfm.core.runs.worker", str(job.folder), *([step] if step else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": build_python_path()},
            start_new_session=True,
        )
