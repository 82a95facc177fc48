"""A workspace inside another one, for runs that nobody keeps."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfm.core.errors import BusyError
from tfm.core.runs import lookup
from tfm.core.runs.executors.this_machine import ThisMachine
from tfm.core.runs.workspace import Workspace


@contextlib.contextmanager
def open_scratch_workspace(workspace: Workspace, name: str) -> Iterator[Workspace]:
    """Yield a workspace on the disk of this one; it is removed at the end, with all that works in it. What a killed
    process left behind is removed at the next start."""
    workspace.create_folder()
    folder = workspace.root / f".{name}"
    try:
        with FileLock(folder.with_name(f".{name}.lock"), timeout=0):
            _remove(folder)
            folder.mkdir()
            try:
                yield Workspace(folder)
            finally:
                _remove(folder)
    except Timeout:
        raise BusyError(
            f"another process is already working in {folder}", hint="wait until it is done, then try again"
        ) from None


def _remove(folder: Path) -> None:
    if folder.exists():
        for run in lookup.list_runs(Workspace(folder)):
            ThisMachine().cancel(run)
        shutil.rmtree(folder, ignore_errors=True)
