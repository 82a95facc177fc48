"""What was read of each file's header, kept in the workspace: an unchanged file is never opened again.

A memory, and nothing more: when it is damaged it is made anew from the files.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, fields
from pathlib import Path

from tfm.core import hints
from tfm.core.errors import BusyError, DiskError
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import Header, is_jpeg, read_header
from tfm.data.sources.kaggle import read_jpeg_header

_VERSION = 2  # raised whenever another fact is read of a header
_KEPT = [field.name for field in fields(Header) if field.name not in ("path", "size")]
_COLUMNS = ", ".join(["path", "size", "mtime_ns", *_KEPT])
_SAVE_EVERY = 500  # files: what a kill costs at most
_PATIENCE = 60.0  # seconds to wait for another process that writes
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

Known = dict[tuple[str, int, int], Header]  # path, size, time


def read_headers(images: Sequence[FoundFile], file: Path) -> Iterator[Header]:
    """One an image and in their order; `file` is the index."""
    file.parent.mkdir(parents=True, exist_ok=True)
    index, known = _open_index(file)
    with closing(index):
        fresh: list[tuple[FoundFile, Header]] = []
        for met in images:
            header = known.get((met.path, met.size, met.mtime_ns))
            if header is None:
                header = _reader(met)(met)
                if header.fault != "unreadable":  # that may have been the disk, for a moment
                    fresh.append((met, header))
            yield header
            if len(fresh) == _SAVE_EVERY:
                _save(index, fresh)
                fresh = []
        _save(index, fresh)


def _reader(met: FoundFile) -> Callable[[FoundFile], Header]:
    return read_jpeg_header if is_jpeg(met.path) else read_header


def _open_index(file: Path) -> tuple[sqlite3.Connection, Known]:
    try:
        return _load_index(file)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _HELD:  # the low byte: the rest is detail
            raise BusyError(
                f"another program holds {file}", hint="wait until it is done, or end it, and start again"
            ) from None
        file.unlink(missing_ok=True)
        return _load_index(file)


def _load_index(file: Path) -> tuple[sqlite3.Connection, Known]:
    index = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)
    try:
        index.execute("BEGIN IMMEDIATE")  # two that start at once make one table
        if index.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            index.execute("DROP TABLE IF EXISTS headers")
            index.execute(f"CREATE TABLE headers ({_COLUMNS}, PRIMARY KEY (path)) WITHOUT ROWID")
            index.execute(f"PRAGMA user_version = {_VERSION}")
        rows = index.execute(f"SELECT {_COLUMNS} FROM headers").fetchall()
        index.execute("COMMIT")
    except sqlite3.DatabaseError:
        index.close()
        raise
    found = ((os.fsdecode(path), size, mtime, kept) for path, size, mtime, *kept in rows)
    return index, {(path, size, mtime): Header(path, size, *kept) for path, size, mtime, kept in found}


def _save(index: sqlite3.Connection, fresh: Sequence[tuple[FoundFile, Header]]) -> None:
    marks = ", ".join("?" * (len(_KEPT) + 3))
    rows = [(os.fsencode(met.path), met.size, met.mtime_ns, *astuple(header)[2:]) for met, header in fresh]
    try:
        index.execute("BEGIN IMMEDIATE")
        index.executemany(f"INSERT OR REPLACE INTO headers ({_COLUMNS}) VALUES ({marks})", rows)
        index.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise DiskError(
            f"what was read of the headers cannot be kept in the workspace: {error}",
            hint=f"make room there, or choose another {hints.setting('workspace')}",
        ) from None
