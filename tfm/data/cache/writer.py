"""Write a cache: one file per row, named by a hash of what the row is made of; at the end, rows are packed into arrays.
It can be killed at any moment and continued. Rows are made in `row_maker`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import zlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tfm.core import files
from tfm.core.errors import DataError, DiskError
from tfm.core.events import Event
from tfm.data.cache.arrays import ARRAYS, Form, Row, array_file, map_arrays, write_arrays
from tfm.data.cache.cache import INDEX, SETTINGS
from tfm.data.cache.manifest import SOURCES, SUMS, CacheManifest
from tfm.data.cache.row_maker import RowTask, decode_row
from tfm.data.cache.row_sources import RowSource, row_key

FAILURES = "failures.txt"

_BUILDING = ".building"
_GB = 1e9


class CacheWriter:
    """For the one process that holds the lock of the cache. Rows of `existing` are copied from there."""

    def __init__(
        self,
        home: Path,
        dataset: str,
        settings: dict[str, Any],
        sources: Sequence[RowSource],
        existing: CacheManifest | None,
    ) -> None:
        self.home, self.folder = home, home / _BUILDING
        self.dataset, self.settings, self.sources = dataset, settings, sources
        self._existing = existing
        self._reused = existing.find_rows(sources) if existing else {}
        keys = [row_key(source.facts, source.image_id, settings) for source in sources]
        self._files = [self.folder / f"{key or number}.row" for number, key in enumerate(keys)]
        (home / FAILURES).unlink(missing_ok=True)
        _remove_old_folders(home)
        wanted = {file for key, file in zip(keys, self._files, strict=True) if key}
        for path in self.folder.iterdir() if self.folder.exists() else ():
            if path not in wanted:
                path.unlink()
        self.done = {number for number, file in enumerate(self._files) if number in self._reused or file.exists()}
        self.form: Form | None = None
        if self.done:
            row, _ = next(self._read_rows(sorted(self.done)))
            self.form = Form.of(row["images"])

    def list_tasks(self) -> list[RowTask]:
        """List a task for each missing row."""
        return [
            RowTask(number, source.film, source.mask, self._files[number])
            for number, source in enumerate(self.sources)
            if number not in self.done
        ]

    def add(self, number: int, form: Form) -> None:
        """Count a row whose file was written."""
        self.check_form(number, form)
        self.done.add(number)

    def check_form(self, number: int, form: Form) -> None:
        self.form = self.form or form
        if form != self.form:
            raise DataError(
                f"the images have different forms: {self.form}, but {self.sources[number].film.name} {form}",
                hint="add the step intensity to the chain: it brings images of 8 and of 16 bits to one type",
            )

    def finish(self) -> Generator[Event, None, None]:
        """Pack the rows and replace the cache. The index comes last: a folder with an index is complete."""
        self.folder.mkdir(exist_ok=True)
        records: list[str] = []
        count = len(self.sources)

        def collect_rows() -> Iterator[Row]:
            for number, (row, record) in enumerate(self._read_rows(range(count))):
                self.check_form(number, Form.of(row["images"]))
                records.append(record)
                yield row

        assert self.form is not None, "a cache has at least one row"
        sums = yield from write_arrays(self.folder, self.form, collect_rows(), count)
        index = pd.DataFrame(
            {
                "image_id": [source.image_id for source in self.sources],
                "sop_uid": [source.facts["sop_uid"] for source in self.sources],
                "record": records,
            }
        )
        text = index.to_csv(index=False, lineterminator="\n").encode()
        sources = {"dataset": self.dataset, "images": {source.image_id: source.facts for source in self.sources}}
        files.write_json(self.folder / SUMS, {**sums, "index": hashlib.sha256(text).hexdigest()})
        files.write_json(self.folder / SOURCES, sources)
        files.write_yaml(self.folder / SETTINGS, self.settings)
        files.write_bytes(self.folder / INDEX, text)
        publish(self.home)

    def _read_rows(self, numbers: Sequence[int]) -> Iterator[tuple[Row, str]]:
        if self._existing and self._reused:
            arrays, records = map_arrays(self._existing.folder), self._existing.read_records()
        for number in numbers:
            if number in self._reused:
                there = self._reused[number]
                yield {name: array[there] for name, array in arrays.items()}, records[there]
                continue
            content = self._files[number].read_bytes()
            try:
                yield decode_row(content)
            except (zlib.error, ValueError, KeyError, EOFError):
                self._files[number].unlink()
                raise DataError(
                    f"the unfinished row of {self.sources[number].image_id} is damaged, and was removed",
                    hint="start this again: only that image is made again",
                ) from None

    @contextlib.contextmanager
    def explain_full_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            for name in ARRAYS:  # half packed
                array_file(self.folder, name).unlink(missing_ok=True)
            needed = f"{len(self.sources) * self.form.row_bytes / _GB:.3g} GB are needed, " if self.form else ""
            raise DiskError(
                f"the arrays of {self.home} do not fit on its disk ({error.strerror}): {needed}"
                f"{shutil.disk_usage(self.home).free / _GB:.3g} GB are free; {len(self.done)} of {len(self.sources)} "
                "images are done and kept",
                hint="free some space there and start this again: it continues where it stopped",
            ) from None


def publish(home: Path) -> None:
    """Move a finished build into its place, file by file; after a kill, the remaining files.

    The cache has no index meanwhile. A process that has mapped the old arrays keeps them whole.
    """
    building = home / _BUILDING
    if not (building / INDEX).is_file():
        return
    (home / INDEX).unlink(missing_ok=True)
    for name in (SETTINGS, SOURCES, SUMS):  # each write also syncs the folder: the index is gone before arrays change
        files.write_bytes(home / name, (building / name).read_bytes())
    for path in (array_file(building, name) for name in ARRAYS):
        if path.is_file():
            os.replace(path, home / path.name)
    files.write_bytes(home / INDEX, (building / INDEX).read_bytes())
    discard(home)


def discard(home: Path) -> None:
    """Remove an unfinished build."""
    (home / _BUILDING / INDEX).unlink(missing_ok=True)  # first: after a kill, the rest must not look finished
    shutil.rmtree(home / _BUILDING, ignore_errors=True)
    _remove_old_folders(home)
    (home / FAILURES).unlink(missing_ok=True)


def _remove_old_folders(home: Path) -> None:
    for name in (".earlier", ".removed"):  # of versions that wrote rows in another way
        shutil.rmtree(home / name, ignore_errors=True)
