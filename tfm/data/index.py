"""What was read of each file's header, kept in the workspace: an unchanged file is never opened again.

A memory, and nothing more: whatever is wrong with it, it is made anew from the files.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, fields
from pathlib import Path

from tfm.core.walk import Met
from tfm.data.download import is_jpeg
from tfm.data.headers import Header, read_header
from tfm.data.kaggle import read_jpeg_header

_VERSION = 1  # raised whenever another fact is read of a header
_KEPT = [field.name for field in fields(Header) if field.name not in ("path", "size")]
_COLUMNS = ", ".join(["path", "size", "mtime_ns", *_KEPT])
_SAVE_EVERY = 500  # files: what a kill costs at most


def read_headers(images: Sequence[Met], file: Path) -> Iterator[Header]:
    """One an image and in their order; `file` is the index."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(_opened(file)) as index:
        known = _known(index)
        fresh: list[tuple[Met, Header]] = []
        for met in images:
            header = known.get((met.path, met.size, met.mtime_ns))
            if header is None:
                header = _reader(met)(met)
                fresh.append((met, header))
            yield header
            if len(fresh) == _SAVE_EVERY:
                _save(index, fresh)
                fresh = []
        _save(index, fresh)


def _reader(met: Met) -> Callable[[Met], Header]:
    return read_jpeg_header if is_jpeg(met.path) else read_header


def _opened(file: Path) -> sqlite3.Connection:
    try:
        return _prepared(file)
    except sqlite3.DatabaseError:
        file.unlink()
        return _prepared(file)


def _prepared(file: Path) -> sqlite3.Connection:
    index = sqlite3.connect(file, timeout=60)
    if index.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        with index:
            index.execute("DROP TABLE IF EXISTS headers")
            index.execute(f"CREATE TABLE headers ({_COLUMNS}, PRIMARY KEY (path)) WITHOUT ROWID")
            index.execute(f"PRAGMA user_version = {_VERSION}")
    return index


def _known(index: sqlite3.Connection) -> dict[tuple[str, int, int], Header]:
    rows = index.execute(f"SELECT {_COLUMNS} FROM headers")
    found = ((os.fsdecode(path), size, mtime, kept) for path, size, mtime, *kept in rows)
    return {(path, size, mtime): Header(path, size, *kept) for path, size, mtime, kept in found}


def _save(index: sqlite3.Connection, fresh: Sequence[tuple[Met, Header]]) -> None:
    marks = ", ".join("?" * (len(_KEPT) + 3))
    rows = [(os.fsencode(met.path), met.size, met.mtime_ns, *astuple(header)[2:]) for met, header in fresh]
    with index:
        index.executemany(f"INSERT OR REPLACE INTO headers ({_COLUMNS}) VALUES ({marks})", rows)
