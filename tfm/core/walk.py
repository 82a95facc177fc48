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
    waiting = sorted({root.resolve() for root in roots}, key=lambda root: len(root.parts))
    walked: list[Path] = []
    while waiting:
        root = waiting.pop(0)
        # A tree inside one that was walked is known already; one around it can only be reached by a loop of links.
        if not any(root.is_relative_to(tree) or tree.is_relative_to(root) for tree in walked):
            walked.append(root)
            yield from _below(root, links=waiting)


def _below(root: Path, links: list[Path]) -> Iterator[Met]:
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            yield Met(folder, trouble=error.strerror or "cannot be read")
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_symlink() and Path(entry.path).is_dir():
                links.append(Path(entry.path).resolve())
            else:
                yield from _file(entry)


def _file(entry: os.DirEntry[str]) -> Iterator[Met]:
    try:
        facts = entry.stat()
    except FileNotFoundError:  # a dangling link, or removed since
        return
    except OSError as error:
        yield Met(entry.path, trouble=error.strerror or "cannot be read")
        return
    if stat.S_ISREG(facts.st_mode):
        yield Met(entry.path, facts.st_size, facts.st_mtime_ns)
