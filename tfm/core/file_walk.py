"""List the files of a folder tree that somebody else owns. No file is opened or changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file with its size and time; or an unreadable file or folder with its problem."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""


_LOOP = "a link to a folder that contains it"
_REDUNDANT = "a link to a folder that is read anyway"
_BROKEN = "a link to a file that does not exist"


def walk_files(roots: Iterable[Path], *, links: bool = False) -> Iterator[FoundFile]:
    """Yield every regular file below the roots, in no order.

    Links to folders are followed, and no folder is read twice. With `links`, links that add no files are yielded too.
    """
    folders = [os.path.realpath(root) for root in roots]
    tops = tuple(folders)
    visited: set[str] = set()
    while folders:
        folder = folders.pop()
        if folder not in visited:
            visited.add(folder)
            for file in _list_folder(folder, folders, tops):
                if links or file.problem not in (_LOOP, _REDUNDANT, _BROKEN):
                    yield file


def _list_folder(folder: str, folders: list[str], roots: tuple[str, ...]) -> Iterator[FoundFile]:
    """Yield the files of one folder, and add its subfolders to `folders`."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        yield _report_error(folder, error)
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_symlink() and entry.is_dir():
                yield from _follow_link(entry.path, folders, roots)
            elif stat.S_ISREG((facts := entry.stat()).st_mode):
                yield FoundFile(entry.path, facts.st_size, facts.st_mtime_ns)
        except FileNotFoundError:  # a broken link, or a file that was just removed
            if entry.is_symlink():
                yield FoundFile(entry.path, problem=_BROKEN)
        except OSError as error:
            yield _report_error(entry.path, error)


def _follow_link(link: str, folders: list[str], roots: tuple[str, ...]) -> Iterator[FoundFile]:
    """Add the target of a link to `folders`; yield the link if it adds no files."""
    target = os.path.realpath(link)
    if _contains(target, str(Path(link).parent)):  # following it would lead out of the root
        yield FoundFile(link, problem=_LOOP)
        return
    if any(_contains(root, target) for root in roots):
        yield FoundFile(link, problem=_REDUNDANT)
    folders.append(target)  # even if redundant: a folder above it may be unreadable


def _contains(outer: str, inner: str) -> bool:
    return f"{inner}{os.sep}".startswith(f"{outer.rstrip(os.sep)}{os.sep}")


def _report_error(path: str, error: OSError) -> FoundFile:
    return FoundFile(path, problem=error.strerror or "cannot be read")
