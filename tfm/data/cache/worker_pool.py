"""Run one job on many tasks in worker processes: the standard library's process pool, with two additions.
A task that kills its worker is reported and the others continue; workers end at once when their parent ends in any way.

Results must be small (under 16 KB): a worker that is killed while it sends a large one blocks the pool.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import cv2

from tfm.core import hints
from tfm.core.errors import TFMError

_TASKS_PER_WORKER = 2  # one running, one waiting, so that a worker never idles while the parent is busy
_PAUSE_SIGNALS = {signal.SIGINT, signal.SIGTERM}  # meant for the parent, which pauses between two results

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class WorkerDied:
    """The result of a task that ended its worker process while it ran alone."""


def run_in_workers(
    job: Callable[[T], R], tasks: Sequence[T], workers: int
) -> Generator[tuple[T, R | WorkerDied], None, None]:
    """Yield each task with its result, in the order of completion.

    With one worker the job runs in this process; with several it never does, even for one task. Closing the generator
    ends the workers at once. When a worker dies, each unfinished task runs again alone, which reveals the fatal one.
    """
    if workers == 1:
        for task in tasks:
            yield task, job(task)
        return
    waiting = deque(tasks)
    while waiting:
        suspects = deque((yield from _run_until_death(job, waiting, workers)))
        while suspects:
            for task in (yield from _run_until_death(job, suspects, 1)):
                yield task, WorkerDied()


def _run_until_death(
    job: Callable[[T], R], waiting: deque[T], workers: int
) -> Generator[tuple[T, R | WorkerDied], None, list[T]]:
    """Run tasks until all are done or a worker dies; return the tasks that were unfinished then."""
    running: dict[Future[R], T] = {}
    at_once = 1 if workers == 1 else workers * _TASKS_PER_WORKER
    with _open_pool(job, min(workers, len(waiting))) as pool:
        if workers == 1:
            try:
                _submit(pool, os.getpid).result()
            except BrokenProcessPool:
                raise TFMError(
                    "a worker process could not start",
                    hint=f"close other programs, or run without worker processes: {hints.setting('workers', 1)}",
                ) from None
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running[_submit(pool, _run_job, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            return list(running.values())
    return []


@contextlib.contextmanager
def _open_pool(job: Callable[[Any], Any], workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool whose workers end at once when the block ends, or when this process does."""
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # its start, otherwise within `_submit`, unblocks the signals
    lifeline, held_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (job, lifeline))
    try:
        yield pool
    finally:
        held_end.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()


def _submit(pool: ProcessPoolExecutor, function: Callable[..., Any], *args: Any) -> Future[Any]:
    """Submit with the pause signals blocked: a worker process that starts here inherits that from its first line on."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool.submit(function, *args)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PAUSE_SIGNALS)
    try:
        return pool.submit(function, *args)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_job: Callable[[Any], Any]  # of this worker process


def _start_worker(job: Callable[[Any], Any], lifeline: Connection[Any, Any]) -> None:
    global _job
    _job = job
    for number in _PAUSE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)

    def exit_with_parent() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv()
        os._exit(0)

    # In a thread of its own, so that the worker ends whatever its job is doing.
    threading.Thread(target=exit_with_parent, daemon=True).start()


def _run_job(task: Any) -> Any:
    return _job(task)
