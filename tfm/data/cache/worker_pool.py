"""Worker processes that do one job to many things. They end when whoever hired them ends, in whatever way.
What the job is stands elsewhere: the job's module is all that a worker imports."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, TypeVar

import cv2

from tfm.core.errors import TFMError

_GIVEN_AHEAD = 2  # tasks: one in hand, one waiting, so that a worker never waits while we write
_READY = "ready"
_END_SECONDS = 5.0
_PAUSING = {signal.SIGINT, signal.SIGTERM}  # they mean us: between two answers we pause, and end the workers ourselves

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True)
class Died:
    """In an answer's place: the worker ended with this task in hand."""

    how: str


def share_out(job: Callable[[T], A], tasks: Sequence[T], workers: int) -> Generator[tuple[T, A | Died], None, None]:
    """Each task with its answer, in the order in which they are done. Job, tasks and answers travel between processes;
    one worker is this very process, several never are, even for one task. Closing the generator ends them at once."""
    if workers == 1:
        for task in tasks:
            yield task, job(task)
        return
    with _Crew(job, min(workers, len(tasks))) as crew:
        yield from crew.answers(deque(tasks))


class _Worker(Generic[T]):
    def __init__(self, job: Callable[[T], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, job), daemon=True)
        with _signals_held():
            self.process.start()
        theirs.close()  # ours alone keeps the pipe open: when we end, the worker reads its end
        self.ready = False
        self.given: deque[T] = deque()

    def how_it_ended(self) -> str:
        self.process.join(_END_SECONDS)
        status = self.process.exitcode
        if status is None or status >= 0:
            return f"ended with status {status}"
        told = signal.strsignal(-status) or f"signal {-status}"
        return f"ended by itself ({told})" + (
            ": the system may have run out of memory" if -status == getattr(signal, "SIGKILL", 0) else ""
        )

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join(_END_SECONDS)


class _Crew(Generic[T, A]):
    def __init__(self, job: Callable[[T], A], count: int) -> None:
        self.job = job
        self.workers: list[_Worker[T]] = []
        atexit.register(self.end)  # before multiprocessing's own, which would wait for them
        for _ in range(count):
            self.workers.append(_Worker(job))

    def __enter__(self) -> _Crew[T, A]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        atexit.unregister(self.end)
        for worker in self.workers:
            worker.end()
        self.workers = []

    def answers(self, waiting: deque[T]) -> Iterator[tuple[T, A | Died]]:
        while waiting or any(worker.given for worker in self.workers):
            self._give(waiting)
            busy: dict[Any, _Worker[T]] = {worker.pipe: worker for worker in self.workers if worker.given}
            for pipe in wait(list(busy)):
                worker = busy[pipe]
                try:
                    answer = worker.pipe.recv()
                except (EOFError, OSError):
                    how = self._replace(worker)
                    yield worker.given.popleft(), Died(how)
                    waiting.extendleft(reversed(worker.given))
                    continue
                if worker.ready:
                    yield worker.given.popleft(), answer
                else:
                    worker.ready = answer == _READY

    def _give(self, waiting: deque[T]) -> None:
        while waiting:
            worker = min(self.workers, key=lambda one: len(one.given))
            if len(worker.given) == _GIVEN_AHEAD:
                return
            try:
                worker.pipe.send(waiting[0])
            except OSError:  # it ended; where it had something in hand, reading from it tells so
                if worker.given:
                    return
                self._replace(worker)
                continue
            worker.given.append(waiting.popleft())

    def _replace(self, worker: _Worker[T]) -> str:
        how = worker.how_it_ended()
        worker.end()
        if not worker.ready:
            raise TFMError(
                f"a worker process could not start: it {how}",
                hint="close other programs, or do without worker processes: --workers 1",
            )
        self.workers[self.workers.index(worker)] = _Worker(self.job)
        return how


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """A process started meanwhile never hears them: not even before its first line runs."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it, as the first worker would, lets the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PAUSING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection[Any, Any], job: Callable[[Any], Any]) -> None:
    for number in _PAUSING:
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, tasks), daemon=True).start()
    with contextlib.suppress(OSError):  # nobody is there to hear the answer
        pipe.send(_READY)
        while True:
            pipe.send(job(tasks.get()))


def _listen(pipe: Connection[Any, Any], tasks: queue.SimpleQueue[Any]) -> None:
    """A thread of its own, so that the hirer's end is seen at once, whatever the job is at."""
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)
