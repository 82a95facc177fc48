"""Tests run side by side, one process a core; those marked `alone` measure time, and nothing runs beside them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_GATE = Path(__file__).parent / "bench"  # whoever waits to be alone holds it, so that nobody new goes in
_ROOM = Path(__file__).parent


@contextlib.contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, how)
        yield
    finally:
        os.close(opened)


@contextlib.contextmanager
def taking_part(alone: bool) -> Iterator[None]:
    with contextlib.ExitStack() as until_inside:
        until_inside.enter_context(_held(_GATE, fcntl.LOCK_EX))
        with _held(_ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            until_inside.close()
            yield
