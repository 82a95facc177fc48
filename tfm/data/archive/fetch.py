"""Fetch series into NBIA's folders: copy into a partial folder, check, move. A series in its final folder is complete.
Copying is in s5cmd, names are in nbia_names."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tfm.core.events import CurrentValues, Event, Progress
from tfm.core.file_walk import FoundFile
from tfm.data.archive.count import Count, Watch
from tfm.data.archive.index import Series
from tfm.data.archive.nbia_names import locate_series, name_file
from tfm.data.archive.s5cmd import Report, copy_series
from tfm.data.archive.server import Server
from tfm.data.download.headers import Header, read_header

PARTIAL = ".partial"  # folder of files that are not checked yet
_ATTEMPTS = 3  # to get a series
_AT_ONCE = 16  # files to check: one by one, each finds its code thrown out of the processor's cache by the copying
_DICOM = ".dcm"  # a file that s5cmd still writes has another ending
_FULL_DISK = ("no space left", "quota exceeded")
_FAULTS = {
    "unreadable": "cannot be read from the disk",
    "damaged": "is not a readable DICOM file",
    "truncated": "ends before its pixels do",
}


@dataclass
class Download:
    """The wanted series of a collection, and what has happened to them so far.

    Attributes:
        fetched: Bytes that were copied by this process, and the seconds that took.
        reasons: Series that could not be fetched, by UID, with the reason.
        partial: The folder of files that are not checked yet. Every process has its own: the s5cmd of a process that
            was killed may still write to another.
    """

    collection: str
    root: Path
    series: Sequence[Series]
    fetched: int = 0
    seconds: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)
    partial: Path = field(init=False)

    def locate(self, series: Series) -> Path:
        return self.root / locate_series(self.collection, series)


def list_absent(download: Download) -> list[Series]:
    """The series that are not there in full size. No file is opened."""
    return [one for one in download.series if find_wrong_size(one, list_files(download.locate(one)))]


def fetch(download: Download, server: Server) -> Generator[Event, None, None]:
    """Fetch what is missing or damaged. What stays so is in `download.reasons`."""
    wanted = yield from _find_wanted(download)
    _adopt_partial_files(download)
    pending = {one.key: one for one in wanted if not _finish(download, one)}
    download.reasons.clear()
    count = Count(download.series, pending.values(), download.partial)
    for _ in range(_ATTEMPTS):
        if pending:
            server.check_connection()
            yield from _try_once(download, server, pending, count)
    yield from count.report(is_last=True)
    shutil.rmtree(download.root / PARTIAL)


def _find_wanted(download: Download) -> Generator[Event, None, list[Series]]:
    """The series that are absent or damaged: a file of the right size may be broken, too."""
    wanted = list_absent(download)
    absent = {one.uid for one in wanted}
    there = [one for one in download.series if one.uid not in absent]
    for done, one in enumerate(there, start=1):
        if _find_fault(one, [read_header(file) for file in list_files(download.locate(one))]):
            wanted.append(one)
        if done % max(1, len(there) // 100) == 0 or done == len(there):
            yield Progress("checked", done, len(there), "series")
    return wanted


def _adopt_partial_files(download: Download) -> None:
    """Make a new partial folder, and take over the complete files of earlier processes."""
    place = download.root / PARTIAL
    place.mkdir(parents=True, exist_ok=True)
    earlier = list(place.iterdir())
    download.partial = Path(tempfile.mkdtemp(dir=place))
    for folder in earlier:
        for file in folder.glob(f"*/*{_DICOM}"):
            here = download.partial / file.parent.name
            here.mkdir(exist_ok=True)
            file.replace(here / file.name)
        shutil.rmtree(folder, ignore_errors=True)


def _try_once(
    download: Download, server: Server, pending: dict[str, Series], count: Count
) -> Generator[Event, None, None]:
    """Copy the pending series once. Raise an error if the server or the disk makes it pointless to go on."""
    began, before = time.monotonic(), count.copied
    watch = Watch(server)
    copying = copy_series([*pending.values()], download.partial, server.endpoint, server.connections)
    waiting: list[Report] = []

    def take_reports() -> None:
        for report in waiting:
            _take_report(download, pending, count, report)
        waiting.clear()

    try:
        with closing(copying):
            for report in copying:
                if report:
                    waiting.append(report)
                if not report or report.error or len(waiting) == _AT_ONCE:
                    take_reports()
                yield from count.report()
                watch.see(report, count)
            take_reports()
    finally:
        download.fetched += count.copied - before
        download.seconds += time.monotonic() - began
    for series in pending.values():
        download.reasons.setdefault(series.uid, find_wrong_size(series, list_files(download.partial / series.key)))
    if pending:
        yield CurrentValues({"to fetch again": f"{len(pending)} series"})


def _take_report(download: Download, pending: dict[str, Series], count: Count, report: Report) -> None:
    series = pending.get(report.key)
    if report.error:
        if any(words in report.error.lower() for words in _FULL_DISK):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(download.root))
        if series:
            download.reasons[series.uid] = report.error
    elif series and _finish(download, series):
        del pending[series.key]
        count.finish(series)


def _finish(download: Download, series: Series) -> bool:
    """Move a series to its final folder if all its files are there and intact. Damaged files are removed."""
    here, target = download.partial / series.key, download.locate(series)
    found = list_files(here)
    if len(found) < series.files:
        return False
    headers = [read_header(file) for file in found]
    if fault := _find_fault(series, headers):
        download.reasons[series.uid] = fault
        shutil.rmtree(here)
        return False
    for number, header in enumerate(sorted(headers, key=lambda one: one.sop_uid), start=1):
        Path(header.path).rename(here / name_file(number))
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # a damaged copy
        shutil.rmtree(target)
    here.rename(target)
    download.reasons.pop(series.uid, None)
    return True


def list_files(folder: Path) -> list[FoundFile]:
    """The complete files in a folder."""
    try:
        found = [(entry.path, entry.stat()) for entry in os.scandir(folder) if entry.name.endswith(_DICOM)]
    except FileNotFoundError:
        return []
    return [FoundFile(path, facts.st_size, facts.st_mtime_ns) for path, facts in found]


def find_wrong_size(series: Series, found: Sequence[FoundFile | Header]) -> str:
    """Compare number and size of files with the index; "" if they agree."""
    if len(found) != series.files:
        return f"{len(found)} of its {series.files} files are there"
    size = sum(file.size for file in found)
    return "" if size == series.size else f"its files have {size} bytes, the index says {series.size}"


def _find_fault(series: Series, headers: Sequence[Header]) -> str:
    """Say what is wrong with the files of a series; "" if they are intact."""
    if wrong := find_wrong_size(series, headers):
        return wrong
    for header in headers:
        if header.fault in _FAULTS:
            return f"{Path(header.path).name} {_FAULTS[header.fault]}"
        if header.series_uid != series.uid:
            return f"{Path(header.path).name} belongs to another series, {header.series_uid}"
    return ""
