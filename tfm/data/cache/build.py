"""Build a cache: keep the rows that exist, make the others in worker processes, pack all into arrays.
The sources of a row are in `row_sources`; finished rows wait in `writer`."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal

from tfm.core import files, hints, machine
from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.data.cache.arrays import Form
from tfm.data.cache.manifest import CacheManifest, describe_settings, refuse_replacing
from tfm.data.cache.row_maker import FailedRow, PixelCheck, RowMaker, UnwrittenRow
from tfm.data.cache.row_sources import ImageFolder, RowSource, read_sources
from tfm.data.cache.worker_pool import WorkerDied, run_in_workers
from tfm.data.cache.writer import FAILURES, CacheWriter, discard, publish
from tfm.imaging.reader_common import DOWNLOAD_AGAIN
from tfm.imaging.settings import ChainSettings

Workers = Literal["auto"] | int
Failure = tuple[RowSource, FailedRow]

_IMAGES_PER_WORKER = 8  # for fewer images, starting another process takes longer than it saves
_WORKER_GIB, _RESERVED_GIB = 0.6, 2.0  # memory: the most that a worker takes, and the part for everything else
_SHOWN_FAILURES, _SHOWN_HINTS = 10, 3
_ORGANIZE = "organize the download again (its audit leaves out what cannot be read), or fetch those files again"


class FailedImages(DataError):
    """Some images cannot be preprocessed."""

    def __init__(self, message: str, *, hint: str, failures: list[Failure]) -> None:
        super().__init__(message, hint=hint)
        self.failures = failures


def build_cache(
    folder: Path,
    images: ImageFolder,
    chain: ChainSettings,
    *,
    version: int,
    workers: Workers = "auto",
    check: PixelCheck | None = None,
) -> Iterator[Event]:
    """Make or update the cache in `folder`. It can be stopped anywhere and started again.

    The result is byte for byte the same, whatever the folder contained and however many workers there are.

    Args:
        version: of the code that makes the images; after a change, all rows are made again.
        check: refuses an image by its pixels.
    """
    folder.mkdir(exist_ok=True)
    files.remove_leftovers(folder)
    publish(folder)
    settings = describe_settings(chain, version)
    existing = CacheManifest.read(folder)
    sources = yield from read_sources(images, existing.facts if existing else {})
    if existing and not (existing.settings == settings and (yield from existing.check_files())):
        existing = None
    if existing and existing.is_up_to_date(images, sources):
        discard(folder)
        yield Progress("images", len(sources), len(sources), "images")
        return
    refuse_replacing(folder, images, chain, version)
    writer = CacheWriter(folder, images.folder.name, settings, sources, existing)
    yield Progress("images", len(writer.done), len(sources), "images")
    with writer.explain_full_disk():
        failures = yield from _make_rows(writer, RowMaker(chain, len(sources), check), workers)
        if failures:
            raise _report_failures(folder, failures)
        yield from writer.finish()


def _make_rows(writer: CacheWriter, maker: RowMaker, workers: Workers) -> Generator[Event, None, list[Failure]]:
    """Make the missing rows and return the images that cannot be made."""
    failures: list[Failure] = []
    total, tasks = len(writer.sources), writer.list_tasks()
    # Count all images, not the missing ones: an image that kills its worker must not be made in this process.
    with contextlib.closing(run_in_workers(maker, tasks, count_workers(workers, total))) as results:
        for done, (task, result) in enumerate(results, total - len(tasks) + 1):
            match result:
                case Form():
                    writer.add(task.number, result)
                case UnwrittenRow():
                    writer.check_form(task.number, result.form)
                    raise result.error
                case FailedRow():
                    failures.append((writer.sources[task.number], result))
                case WorkerDied():
                    message = f"{task.film}: a worker process ended abruptly while it made this image, and again alone"
                    hint = f"if memory ran out, try with {hints.setting('workers', 1)}, else {DOWNLOAD_AGAIN}"
                    failures.append((writer.sources[task.number], FailedRow(message, hint, permanent=False)))
            yield Progress("images", done, total, "images")
    return failures


def count_workers(workers: Workers, images: int) -> int:
    if workers != "auto":
        return workers
    count = min(machine.count_cores(), images // _IMAGES_PER_WORKER)
    memory = machine.read_memory_gib()
    if memory is not None:
        count = min(count, int((memory - _RESERVED_GIB) / _WORKER_GIB))
    return max(1, count)


def _report_failures(folder: Path, failures: list[Failure]) -> FailedImages:
    """Write the list of failures and return the error that names the first ones."""
    failures.sort(key=lambda failure: failure[0].image_id)
    lines = [f"{source.image_id}: {failed.message}" for source, failed in failures]
    hints = [_ORGANIZE if failed.hint in ("", DOWNLOAD_AGAIN) else failed.hint for _, failed in failures]
    with_hints = [f"{line} ({hint})" for line, hint in zip(lines, hints, strict=True)]
    tracebacks = [failed.traceback for _, failed in failures if failed.traceback]
    files.write_text(folder / FAILURES, "\n".join([*with_hints, *tracebacks]) + "\n")
    more = f"\n… and {len(lines) - _SHOWN_FAILURES} more" if len(lines) > _SHOWN_FAILURES else ""
    what_to_do = "; ".join(hint for hint, _ in Counter(hints).most_common(_SHOWN_HINTS))
    count = "1 image" if len(failures) == 1 else f"{len(failures)} images"
    return FailedImages(
        f"{count} could not be made; the others are done and kept:\n" + "\n".join(lines[:_SHOWN_FAILURES]) + more,
        hint=f"{what_to_do}; then start this again. The whole list: {folder / FAILURES}",
        failures=failures,
    )
