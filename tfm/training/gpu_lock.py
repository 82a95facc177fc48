"""A lock on what only one run may use at a time: a GPU or a folder. The other runs wait and report for which run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfm.core.events import Event, Note, Progress

WAITING = "waiting for "
POLL_SECONDS = 2.0


def acquire_lock(lock_file: Path, what: str, run: str, held: contextlib.ExitStack) -> Iterator[Event]:
    """Wait for the lock. `held` releases it; the kernel does when the process dies."""
    lock, holder_file = FileLock(lock_file, mode=0o666), lock_file.with_suffix(".holder")
    reported = None
    while True:
        try:
            lock.acquire(timeout=POLL_SECONDS if reported else 0)
            break
        except Timeout:
            try:
                holder = holder_file.read_text(encoding="utf-8")
            except OSError:
                holder = "another run"
            if holder != reported:
                yield Note(f"{WAITING}{what}: {holder} uses it")
                reported = holder
            yield Progress(f"{WAITING}{what}", 0, 1)  # the run can be paused here
    held.callback(lock.release)
    with contextlib.suppress(OSError):  # the file may belong to another user, and only informs
        holder_file.write_text(run, encoding="utf-8")
