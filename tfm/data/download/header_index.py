"""A cache of file headers in the workspace, so that unchanged files are not opened again.
A damaged cache is deleted and built again from the files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, fields
from pathlib import Path

from tfm.core import files, hints
from tfm.core.errors import BusyError, DiskError
from tfm.core.events import Progress
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import Header, is_jpeg, read_header
from tfm.data.download.plain_headers import is_plain_image, read_plain_header
from tfm.data.sources.kaggle import read_jpeg_header

_VERSION = 2  # increase it when other facts are read from a header
_FACTS = [field.name for field in fields(Header) if field.name not in ("path", "size")]
_COLUMNS = ", ".join(["path", "size", "mtime_ns", *_FACTS])
SAVE_EVERY = 500  # files; a killed run loses at most this many
LOCK_TIMEOUT = 60.0  # seconds to wait for another process that writes

Known = dict[tuple[str, int, int], Header]  # path, size, time


def read_headers(images: Sequence[FoundFile], file: Path) -> Iterator[Header]:
    """Yield the header of each image in order. `file` is the cache."""
    files.make_private_folder(file.parent)
    index, known = _open_index(file)
    with closing(index):
        new: list[tuple[FoundFile, Header]] = []
        for image in images:
            header = known.get((image.path, image.size, image.mtime_ns))
            if header is None:
                header = _select_reader(image.path)(image)
                if header.fault != "unreadable":  # the cause may be a temporary error of the disk
                    new.append((image, header))
            yield header
            if len(new) == SAVE_EVERY:
                _save(index, new)
                new = []
        _save(index, new)


def read_headers_with_progress(images: Sequence[FoundFile], file: Path) -> Generator[Progress, None, list[Header]]:
    headers: list[Header] = []
    for header in read_headers(images, file):
        headers.append(header)
        # About 100 events in all: one for each file would fill the log.
        if len(headers) % max(1, len(images) // 100) == 0 or len(headers) == len(images):
            yield Progress("headers", len(headers), len(images), "files")
    return headers


def _select_reader(path: str) -> Callable[[FoundFile], Header]:
    if is_jpeg(path):
        return read_jpeg_header
    return read_plain_header if is_plain_image(path) else read_header


def _open_index(file: Path) -> tuple[sqlite3.Connection, Known]:
    try:
        return _load_index(file)
    except sqlite3.DatabaseError as error:
        primary_code = error.sqlite_errorcode & 0xFF
        if primary_code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BusyError(
                f"another program has locked {file}", hint="wait until it is done, or end it, and start again"
            ) from None
        file.unlink(missing_ok=True)
        return _load_index(file)


def _load_index(file: Path) -> tuple[sqlite3.Connection, Known]:
    index = sqlite3.connect(file, timeout=LOCK_TIMEOUT, isolation_level=None)
    try:
        index.execute("BEGIN IMMEDIATE")  # two processes that start at once create one table
        if index.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            index.execute("DROP TABLE IF EXISTS headers")
            index.execute(f"CREATE TABLE headers ({_COLUMNS}, PRIMARY KEY (path)) WITHOUT ROWID")
            index.execute(f"PRAGMA user_version = {_VERSION}")
        rows = index.execute(f"SELECT {_COLUMNS} FROM headers").fetchall()
        index.execute("COMMIT")
    except sqlite3.DatabaseError:
        index.close()
        raise
    entries = ((os.fsdecode(path), size, mtime, facts) for path, size, mtime, *facts in rows)
    return index, {(path, size, mtime): Header(path, size, *facts) for path, size, mtime, facts in entries}


def _save(index: sqlite3.Connection, new: Sequence[tuple[FoundFile, Header]]) -> None:
    marks = ", ".join("?" * (len(_FACTS) + 3))
    rows = [(os.fsencode(image.path), image.size, image.mtime_ns, *astuple(header)[2:]) for image, header in new]
    try:
        index.execute("BEGIN IMMEDIATE")
        index.executemany(f"INSERT OR REPLACE INTO headers ({_COLUMNS}) VALUES ({marks})", rows)
        index.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise DiskError(
            f"the header cache cannot be written to the workspace: {error}",
            hint=f"make room there, or choose another {hints.setting('workspace')}",
        ) from None
