"""The one walk over folders that belong to others. Nothing in them is opened, changed or refused here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Met:
    """A file as a walk meets it. Of what cannot be looked at (a folder, too) only the path is known, and why."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    trouble: str = ""


def walk(roots: Iterable[Path]) -> Iterator[Met]:
    """Every regular file below, in no order; links to folders are followed, and no folder is walked twice."""
    folders = [os.path.realpath(root) for root in roots]
    walked: set[str] = set()
    while folders:
        folder = folders.pop()
        if folder not in walked:
            walked.add(folder)
            yield from _within(folder, folders)


def _within(folder: str, folders: list[str]) -> Iterator[Met]:
    """The files of one folder; the folders in it are added to those that wait."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        yield _unknown(folder, error)
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_symlink() and entry.is_dir():
                target = os.path.realpath(entry.path)
                if not f"{folder}{os.sep}".startswith(f"{target}{os.sep}"):  # a loop, which would lead out of the root
                    folders.append(target)
            elif stat.S_ISREG((facts := entry.stat()).st_mode):
                yield Met(entry.path, facts.st_size, facts.st_mtime_ns)
        except FileNotFoundError:  # a dangling link, or removed since
            continue
        except OSError as error:
            yield _unknown(entry.path, error)


def _unknown(path: str, error: OSError) -> Met:
    return Met(path, trouble=error.strerror or "cannot be read")
