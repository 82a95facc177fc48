"""Walk through folders that belong to others. No file is opened or changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file and its facts. For an unreadable file or folder only the path and the problem are known."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""


_LOOP = "a link to a folder that it lies in"
_ANYWAY = "a link to a folder that is looked through without it"
_NOWHERE = "a link that leads nowhere"


def walk_files(roots: Iterable[Path], *, links: bool = False) -> Iterator[FoundFile]:
    """Yield every regular file below the roots, in no order. Links to folders are followed, and no folder is walked
    twice. With `links`, links that lead to nothing new are yielded too."""
    folders = [os.path.realpath(root) for root in roots]
    above = tuple(folders)
    walked: set[str] = set()
    while folders:
        folder = folders.pop()
        if folder not in walked:
            walked.add(folder)
            met = _within(folder, folders, above)
            yield from met if links else (one for one in met if one.problem not in (_LOOP, _ANYWAY, _NOWHERE))


def _within(folder: str, folders: list[str], roots: tuple[str, ...]) -> Iterator[FoundFile]:
    """The files of one folder; its subfolders are added to `folders`."""
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
                yield from _linked(entry.path, folders, roots)
            elif stat.S_ISREG((facts := entry.stat()).st_mode):
                yield FoundFile(entry.path, facts.st_size, facts.st_mtime_ns)
        except FileNotFoundError:  # or removed since
            if entry.is_symlink():
                yield FoundFile(entry.path, problem=_NOWHERE)
        except OSError as error:
            yield _unknown(entry.path, error)


def _linked(link: str, folders: list[str], roots: tuple[str, ...]) -> Iterator[FoundFile]:
    """Add the target of a link to `folders`; yield the link if it leads to nothing new."""
    target = os.path.realpath(link)
    if _holds(target, str(Path(link).parent)):  # following it would lead out of the root
        yield FoundFile(link, problem=_LOOP)
        return
    if any(_holds(root, target) for root in roots):
        yield FoundFile(link, problem=_ANYWAY)
    folders.append(target)  # always: without the link, a folder on the way may be unreadable


def _holds(outer: str, inner: str) -> bool:
    return f"{inner}{os.sep}".startswith(f"{outer.rstrip(os.sep)}{os.sep}")


def _unknown(path: str, error: OSError) -> FoundFile:
    return FoundFile(path, problem=error.strerror or "cannot be read")
