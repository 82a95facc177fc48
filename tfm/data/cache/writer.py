"""A cache in the making: a folder inside the cache's own, left at any moment and taken up again. A row counts once it
is safely on the disk; the whole takes the place of what stood. Who makes the rows is caching's."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pandas as pd
import yaml

from tfm.core import files
from tfm.core.errors import DiskError
from tfm.core.events import Event
from tfm.data.cache.arrays import ARRAYS, ArrayFiles, Form, Row, array_file, create_arrays, map_arrays
from tfm.data.cache.cache import INDEX, SETTINGS
from tfm.data.cache.manifest import SOURCES, SUMS, Standing, sums
from tfm.data.cache.row_sources import Facts, Source, same

FAILURES = "failures.txt"
FLUSH_EVERY = 32  # rows between two flushes to disk: what a power cut costs at most

_BUILDING, _EARLIER, _REMOVED = ".building", ".earlier", ".removed"
_DONE_LOG = "done.jsonl"  # a line a finished row, written only after the row itself is on disk
_RESERVE, _RESERVE_BYTES = "reserve", 4096 * FLUSH_EVERY  # given up on a full disk: room for the log's last lines
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_GB = 1e9

Record = dict[str, Any]


class Done(NamedTuple):
    number: int  # of the row
    image_id: str
    facts: Facts
    record: Record


@dataclass(frozen=True)
class Donor:
    """Arrays that hold images already made, each by its image_id."""

    folder: Path
    rows: dict[str, Done]

    @classmethod
    def standing(cls, standing: Standing) -> Donor:
        numbered = enumerate(zip(standing.facts.items(), standing.records(), strict=True))
        rows = {name: Done(number, name, facts, made) for number, ((name, facts), made) in numbered}
        return cls(standing.folder, rows)

    @classmethod
    def begun(cls, folder: Path) -> Donor:
        return cls(folder, {done.image_id: done for done in _log(folder)})


class Building:
    """For the one process that may write it. As a context it ends well: what was made until then is kept."""

    def __init__(self, home: Path, dataset: str, settings: dict[str, Any], sources: Sequence[Source]) -> None:
        self.home, self.folder = home, home / _BUILDING
        self.dataset, self.settings, self.sources = dataset, settings, sources
        self.arrays: ArrayFiles | None = None
        self.records: dict[int, Record] = {}
        self._waiting: dict[int, Record] = {}  # made, and not yet safe
        self._take_up()

    def __enter__(self) -> Building:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as ending:
            if self.arrays is not None:
                ending.callback(self.arrays.close)
            if isinstance(error, OSError) and error.errno in _FULL:
                (self.folder / _RESERVE).unlink(missing_ok=True)
                self._flush_if_possible()
                raise self._full(f"{self.home} cannot be written any more ({error.strerror})") from None
            self._flush_if_possible()

    # --- taking up ----------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        (self.home / FAILURES).unlink(missing_ok=True)
        for folder in (self.folder, self.home / _EARLIER):
            if _settings(folder) != self.settings:
                _remove(folder)
        if not self.folder.exists():
            return
        if not self._has_our_rows():
            self._set_aside()
            return
        files.remove_leftovers(self.folder)
        self.arrays = ArrayFiles(self.folder)
        self.records = self._logged()

    def _has_our_rows(self) -> bool:
        count = len(self.sources)
        return len(map_arrays(self.folder)["images"]) == count and all(
            self.sources[done.number].image_id == done.image_id for done in _log(self.folder)
        )

    def _set_aside(self) -> None:
        """The dataset has other images than when this began: what was made of those that stayed is copied."""
        earlier = self.home / _EARLIER
        if len(_log(earlier)) > len(_log(self.folder)):
            _remove(self.folder)
        else:
            _remove(earlier)
            self.folder.rename(earlier)

    def _logged(self) -> dict[int, Record]:
        """What is done and still true. The rest leaves the log before its row is written again."""
        true = [done for done in _log(self.folder) if same(self.sources[done.number].facts, done.facts)]
        text = "".join(map(_line, true))
        path = self.folder / _DONE_LOG
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            files.write_text(path, text)
        return {done.number: done.record for done in true}

    def begin(self, form: Form) -> None:
        """Arrays for images of this form, or those that stand; what cannot fit is refused before a byte is written."""
        if self._missing_bytes(form) > shutil.disk_usage(self.home).free:
            raise self._full(f"the arrays of {self.home.name} do not fit on the disk that holds {self.home}", form)
        if self.arrays is None:
            self.folder.mkdir()
            create_arrays(self.folder, len(self.sources), form)
            files.write_yaml(self.folder / SETTINGS, self.settings)  # last: the folder can be taken up from now on
            self.arrays = ArrayFiles(self.folder)
        if not (self.folder / _RESERVE).exists():
            files.write_bytes(self.folder / _RESERVE, os.urandom(_RESERVE_BYTES))

    def _missing_bytes(self, form: Form) -> int:
        by_rows = (len(self.sources) - len(self.records)) * form.row_bytes
        if self.arrays is None:
            return by_rows
        return min(by_rows, max(0, len(self.sources) * form.row_bytes - self.arrays.allocated()))

    def _full(self, what: str, form: Form | None = None) -> DiskError:
        form = form or (self.arrays.form if self.arrays else None)
        needed = f"{self._missing_bytes(form) / _GB:.3g} GB are needed, " if form else ""
        free = shutil.disk_usage(self.home).free / _GB
        return DiskError(
            f"{what}: {needed}{free:.3g} GB are free; {len(self.records)} of {len(self.sources)} images are done and "
            "kept",
            hint="free some space there and start the same thing again: it goes on where it stopped",
        )

    # --- rows ---------------------------------------------------------------------------------------------------------

    def missing(self) -> list[int]:
        there = self.records.keys() | self._waiting.keys()
        return [number for number in range(len(self.sources)) if number not in there]

    def write(self, number: int, row: Row, record: Record) -> None:
        assert self.arrays is not None, "write() needs begin()"
        self.arrays.write(number, row)
        self.note(number, record)

    def note(self, number: int, record: Record) -> None:
        """That a row is written, by whomever."""
        self._waiting[number] = record
        if len(self._waiting) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, {}  # rows that cannot be made safe are made again
        if not waiting:
            return
        assert self.arrays is not None
        self.arrays.sync()
        self._waiting = waiting
        _append(self.folder / _DONE_LOG, "".join(_line(self._done(*one)) for one in waiting.items()))
        self.records |= waiting
        self._waiting = {}

    def _done(self, number: int, record: Record) -> Done:
        source = self.sources[number]
        return Done(number, source.image_id, source.facts, record)

    def _flush_if_possible(self) -> None:
        """At the end of an error, which is what counts."""
        with contextlib.suppress(OSError):
            self.flush()

    def copy(self, donor: Donor) -> Iterator[int]:
        """The rows that somebody made of the same sources, one after the other."""
        found = [(number, donor.rows.get(self.sources[number].image_id)) for number in self.missing()]
        kept = [(number, row) for number, row in found if row and same(self.sources[number].facts, row.facts)]
        if not kept:
            return
        arrays = map_arrays(donor.folder)
        self.begin(Form.of(arrays["images"]))
        for number, row in kept:
            self.write(number, {name: array[row.number] for name, array in arrays.items()}, row.record)
            yield number
        self.flush()

    def copy_earlier(self) -> Iterator[int]:
        """From a build that had other images; then it is not needed any more."""
        earlier = self.home / _EARLIER
        if earlier.exists():
            yield from self.copy(Donor.begun(earlier))
            _remove(earlier)

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> Generator[Event, None, None]:
        """The index comes last: a folder with one is whole."""
        self.flush()
        index = pd.DataFrame(
            {
                "image_id": [source.image_id for source in self.sources],
                "sop_uid": [source.facts["sop_uid"] for source in self.sources],
                "record": [json.dumps(self.records[number], sort_keys=True) for number in range(len(self.sources))],
            }
        )
        text = index.to_csv(index=False, lineterminator="\n").encode()
        made_of = {"dataset": self.dataset, "images": {source.image_id: source.facts for source in self.sources}}
        files.write_json(self.folder / SUMS, (yield from sums(self.folder, len(self.sources), text)))
        files.write_json(self.folder / SOURCES, made_of)
        files.write_bytes(self.folder / INDEX, text)
        put_in_place(self.home)


def put_in_place(home: Path) -> None:
    """A finished build takes the place of what stood, file by file; after a kill in the midst of it, the rest of them.
    No index stands meanwhile; who has mapped the old arrays keeps them whole."""
    building = home / _BUILDING
    if not (building / INDEX).is_file():
        return
    (home / INDEX).unlink(missing_ok=True)
    for name in (SETTINGS, SOURCES):  # each write has the folder on disk as it is: the index gone, then the arrays new
        _copy_small(building, home, name)
    for path in (array_file(building, name) for name in ARRAYS):
        if path.is_file():
            os.replace(path, home / path.name)
    for name in (SUMS, INDEX):
        _copy_small(building, home, name)
    discard(home)


def discard(home: Path) -> None:
    """What was in the making, and nobody needs."""
    for leftover in (home / _BUILDING, home / _EARLIER):
        _remove(leftover)
    (home / FAILURES).unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """In one step for whoever looks: half a folder would count for what it still holds. What a kill leaves of the rest
    goes with the next."""
    removed = folder.with_name(_REMOVED)
    shutil.rmtree(removed, ignore_errors=True)
    if folder.exists():
        folder.rename(removed)
        shutil.rmtree(removed)


def _copy_small(building: Path, home: Path, name: str) -> None:
    files.write_bytes(home / name, (building / name).read_bytes())


def _settings(folder: Path) -> Any:
    try:
        return files.read_yaml(folder / SETTINGS)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _log(folder: Path) -> list[Done]:
    """Each row's last line. A line that a kill cut short never counted."""
    path = folder / _DONE_LOG
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0] if path.is_file() else ""
    last = {done.number: done for done in (Done(*json.loads(line)) for line in whole.splitlines())}
    return list(last.values())


def _line(done: Done) -> str:
    return json.dumps(done, sort_keys=True) + "\n"


def _append(path: Path, lines: str) -> None:
    """All of them, or none."""
    with open(path, "ab") as file:
        before = file.tell()
        try:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise
