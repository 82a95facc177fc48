"""What only one run may have at a time, a GPU or a folder: the others wait, and say for whom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfm.core.events import Event, Note, Progress

WAITING = "waiting for "
_POLL_SECONDS = 2.0


def take(lock_file: Path, what: str, run: str, held: contextlib.ExitStack) -> Iterator[Event]:
    """`held` ends the turn, the kernel a dead run's."""
    lock, holder = FileLock(lock_file, mode=0o666), lock_file.with_suffix(".holder")
    told = None
    while True:
        try:
            lock.acquire(timeout=_POLL_SECONDS if told else 0)
            break
        except Timeout:
            now = _read(holder)
            if now != told:
                yield Note(f"{WAITING}{what}: {now} has it")
                told = now
            yield Progress(f"{WAITING}{what}", 0, 1)  # a point at which the wait may be paused
    held.callback(lock.release)
    with contextlib.suppress(OSError):  # information only, and the file may be another user's
        holder.write_text(run, encoding="utf-8")


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return "another run"
