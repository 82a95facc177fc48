"""Kill the worker of a run at a moment of its work, as a crash does. The run's log says what was interrupted."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tfm.core.errors import RunError
from tfm.core.events import Progress
from tfm.core.runs.executors.this_machine import kill_tree, start_worker
from tfm.core.runs.job_folder import State
from tfm.core.runs.run import Run

POLL_SECONDS = 0.001

Counts = Mapping[str, Progress]  # the latest count of each name, the newest last


@dataclass
class Worker:
    """A worker process of a run, and what it has counted so far."""

    run: Run
    process: subprocess.Popen[bytes]
    counts: dict[str, Progress] = field(default_factory=dict)
    _offset: int = 0

    def is_working(self) -> bool:
        return self.process.poll() is None

    def read_counts(self) -> Counts:
        events, self._offset = self.run.read_events_from(self._offset)
        for _, event in events:
            if isinstance(event, Progress):
                self.counts.pop(event.name, None)
                self.counts[event.name] = event
        return self.counts

    def kill(self) -> None:
        if self.is_working():
            kill_tree(self.process.pid)
        self.process.wait()

    def check_state(self, *allowed: State) -> State:
        """The state of the run that the worker left. Raise an error if it failed by itself."""
        status = self.run.read_status()
        if status.state not in allowed:
            raise RunError(f"{self.run.id} is {status.state}: {status.message}", hint=status.hint)
        return status.state


@contextlib.contextmanager
def start_killable_worker(run: Run) -> Iterator[Worker]:
    """Start a worker that does not outlive the block."""
    _, offset = run.read_events_from(0)
    worker = Worker(run, start_worker(run), _offset=offset)
    try:
        yield worker
    finally:
        worker.kill()


def kill_at(run: Run, is_reached: Callable[[Counts], bool], deadline: float) -> Counts | None:
    """Start a worker, kill it when a moment is reached, and return its last counts. None if the kill fell outside of
    that moment, so that it shows nothing."""
    with start_killable_worker(run) as worker:
        while worker.is_working() and not is_reached(worker.read_counts()):
            check_time(worker, deadline)
            time.sleep(POLL_SECONDS)
    was_working = worker.check_state("halted", "done") == "halted"
    return worker.counts if is_reached(worker.read_counts()) and was_working else None


def check_time(worker: Worker, deadline: float) -> None:
    if time.monotonic() > deadline:
        doing = next(reversed([*worker.read_counts()]), "starting")
        raise RunError(
            f"{worker.run.id} is too slow: it was still at this when the time was up: {doing}",
            hint="end other programs and wait for other runs, then try again",
        )
