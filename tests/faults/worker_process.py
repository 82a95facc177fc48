"""Worker processes that a fault strikes at an exact moment: before their n-th access to a file of the workspace.

They are forked from one process that has imported what the stages need, since importing takes longer than a small run.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tfm.core.runs import worker
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run

ACCESSES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
AFTER_THE_END = -1  # a moment: the worker has recorded that the job is done
PRELOADED = [f"tfm.pipelines.{stage}" for stage in ("train", "pretrain", "segment", "tune", "forest", "explain")]

Strike = Callable[[], None]  # what a fault does in the worker process
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, *PRELOADED, "tfm.pipelines.predict", "tfm.pipelines.organize"])


class WorkerProcess:
    """The worker of a job. `accesses` counts since it opened the log of a run: its work has begun then."""

    def __init__(self, job: Run | Plan, moment: int | None = None, strike: Strike | None = None) -> None:
        self._accesses = _context.Value("i", 0, lock=False)
        self.moment = moment
        workspace = str(job.workspace.root)
        self.process: ForkServerProcess = _context.Process(
            target=work, args=(str(job.folder), workspace, self._accesses, moment, strike)
        )
        self.process.start()

    @property
    def accesses(self) -> int:
        return self._accesses.value

    @property
    def is_struck(self) -> bool:
        return self.moment == AFTER_THE_END or (self.moment is not None and self.accesses >= self.moment)

    def wait_until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert self.process.is_alive(), "the process has ended before the fault"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def wait(self) -> int:
        self.process.join(180)
        assert self.process.exitcode is not None, "it does not end"
        return self.process.exitcode


def work(folder: str, workspace: str, accesses: Any, moment: int | None, strike: Strike | None) -> None:
    """Be the worker of a job, as the program starts it."""
    os.setsid()
    save_at_every_step()
    watch_accesses(workspace, accesses, moment, strike or (lambda: None))
    log = os.open(Path(folder) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.argv = ["worker", folder]
    status = worker.main()
    if strike and moment == AFTER_THE_END:
        strike()
    sys.exit(status)


def save_at_every_step() -> None:
    """Write checkpoints and features as often as possible, so that many moments fall inside a write."""
    from tfm.training import checkpoint, frozen_features

    checkpoint.WRITE_SHARE = 0
    frozen_features.SECONDS_BETWEEN_WRITES = 0


def watch_accesses(workspace: str, accesses: Any, moment: int | None, strike: Strike) -> None:
    numbers = itertools.count(1)
    has_begun = False

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal has_begun
        if event not in ACCESSES or threading.current_thread() is not threading.main_thread():
            return
        path = given[0] if isinstance(given[0], str) else os.fspath(given[0]) if hasattr(given[0], "__fspath__") else ""
        if not str(path).startswith(workspace):
            return
        has_begun = has_begun or path.endswith("events.jsonl")
        if has_begun:
            accesses.value = number = next(numbers)
            if number == moment:
                strike()

    sys.addaudithook(watch)


def start_forking(environment: dict[str, str]) -> None:
    """Start the process from which the workers are forked, with these variables."""
    before = dict(os.environ)
    os.environ.update(environment)
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)
