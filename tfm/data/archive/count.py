"""Count what a download has fetched, and notice when nothing arrives any more."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tfm.core.errors import HaltedError
from tfm.core.events import Event, Progress
from tfm.data.archive.index import Series
from tfm.data.archive.s5cmd import Report
from tfm.data.archive.server import Server

_EVENT_SECONDS = 0.5


class Count:
    """Bytes and files. What was complete before counts as done."""

    def __init__(self, series: Sequence[Series], pending: Collection[Series], partial: Path) -> None:
        self.partial = partial
        self.bytes, self.files = (sum(one.size for one in series), sum(one.files for one in series))
        self.done_bytes = self.bytes - sum(one.size for one in pending)
        self.done_files = self.files - sum(one.files for one in pending)
        self.partial_bytes = 0
        self._first_bytes = self.done_bytes
        self._reported = 0.0

    @property
    def copied(self) -> int:
        """Bytes of the series that this process completed."""
        return self.done_bytes - self._first_bytes

    def finish(self, series: Series) -> None:
        self.done_bytes += series.size
        self.done_files += series.files

    def report(self, *, is_last: bool = False) -> Iterator[Event]:
        """Yield the counts twice a second."""
        now = time.monotonic()
        if now - self._reported < _EVENT_SECONDS and not is_last:
            return
        self._reported = now
        self.partial_bytes = sum(_list_sizes(self.partial))
        done = min(self.done_bytes + self.partial_bytes, self.bytes)
        yield Progress("data", round(done / 1e6), max(1, round(self.bytes / 1e6)), "MB")
        yield Progress("files", self.done_files, self.files, "files")


def _list_sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                yield (Path(place) / name).stat().st_size
            except FileNotFoundError:  # s5cmd renamed it meanwhile
                continue


class Watch:
    """Stops a download from a server that sends nothing, or nothing but errors."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._seen = 0
        self._changed = time.monotonic()
        self._errors = 0

    def see(self, report: Report | None, count: Count) -> None:
        if report:
            self._errors = self._errors + 1 if report.error else 0
        if self._errors >= 2 * self.server.connections:
            self._errors = 0
            self.server.check_connection()
        seen = count.copied + count.partial_bytes
        if seen != self._seen:
            self._seen, self._changed = seen, time.monotonic()
        if time.monotonic() - self._changed > self.server.timeout:
            raise HaltedError(
                f"{self.server.host} has sent nothing for {self.server.timeout} seconds",
                hint="check the network and resume: what is complete is not fetched again",
            )
