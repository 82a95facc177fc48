"""How a cache comes about: rows that stand are kept or copied, the others made by as many processes as there are cores.
What a row is made of stands in sources, where it waits until all are there in building."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal

from tfm.core import files, machine
from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.data.cache.arrays import Form
from tfm.data.cache.manifest import Standing, refuse_replacing, settings_of
from tfm.data.cache.row_maker import Answer, Check, Failed, Made, RowMaker, Task, row_of
from tfm.data.cache.row_sources import Films, Source, sources_of
from tfm.data.cache.worker_pool import Died, share_out
from tfm.data.cache.writer import FAILURES, Building, Donor, discard, put_in_place
from tfm.imaging.decoded_image import DOWNLOAD_AGAIN
from tfm.imaging.settings import ChainSettings

Workers = Literal["auto"] | int
Failure = tuple[Source, Failed]

_WORTH_A_WORKER = 8  # images: fewer are made sooner than another process has started
_WORKER_GIB, _LEFT_GIB = 0.6, 2.0  # memory that one takes at most, and that is left to all else
_TOLD, _HINTS = 10, 3
_ORGANIZE = "organize the download again (its audit leaves out what cannot be read), or fetch those files again"


class Unmakeable(DataError):
    """Some of the images; `failures` are all of them."""

    def __init__(self, message: str, *, hint: str, failures: list[Failure]) -> None:
        super().__init__(message, hint=hint)
        self.failures = failures


def build_cache(
    folder: Path,
    films: Films,
    chain: ChainSettings,
    *,
    version: int,
    workers: Workers = "auto",
    check: Check | None = None,
) -> Iterator[Event]:
    """Stopped anywhere and started again it goes on, and ends byte for byte the same, whatever stood there and however
    many work at it. `version` is that of the code that makes the images. `check` refuses a film by its pixels."""
    folder.mkdir(exist_ok=True)
    files.remove_leftovers(folder)
    put_in_place(folder)
    settings = settings_of(chain, version)
    standing = Standing.read(folder)
    sources = yield from sources_of(films, standing.facts if standing else {})
    if standing and not (standing.settings == settings and (yield from standing.is_whole())):
        standing = None
    if standing and standing.serves(films, sources):
        discard(folder)
        yield _progress(len(sources), len(sources))
        return
    refuse_replacing(folder, films, chain, version)
    with Building(folder, films.folder.name, settings, sources) as building:
        yield _progress(len(building.records), len(sources))
        yield from _copied(building, standing)
        failures = yield from _made(building, RowMaker(building.folder, chain, check), workers)
        if failures:
            raise _refusal(folder, failures)
        yield from building.finish()


def _progress(done: int, total: int) -> Progress:
    return Progress("images", done, total, "images")


def _copied(building: Building, standing: Standing | None) -> Iterator[Event]:
    total = len(building.sources)
    begun = total - len(building.missing())
    donated = [building.copy(Donor.standing(standing))] if standing else []
    for rows in (*donated, building.copy_earlier()):
        for _ in rows:
            begun += 1
            yield _progress(begun, total)


def _made(building: Building, maker: RowMaker, workers: Workers) -> Generator[Event, None, list[Failure]]:
    failures: list[Failure] = []
    total = len(building.sources)
    tasks = [
        Task(number, building.sources[number].film, building.sources[number].mask) for number in building.missing()
    ]
    if tasks and building.arrays is not None:
        building.begin(building.arrays.form)  # there may be less room than when they were made
    made = share_out(maker, tasks, _how_many(workers, total))
    with contextlib.closing(maker), contextlib.closing(made) as answers:
        for done, (task, answer) in enumerate(answers, total - len(tasks) + 1):
            if (failure := _taken(building, task, answer)) is not None:
                failures.append((building.sources[task.number], failure))
            yield _progress(done, total)
    building.flush()
    return failures


def _how_many(workers: Workers, images: int) -> int:
    """Of the whole cache, not of what is left of it: a film that ended a worker must not be tried in this process."""
    if workers != "auto":
        return workers
    most = min(machine.count_cores(), images // _WORTH_A_WORKER)
    memory = machine.read_memory_gib()
    if memory is not None:
        most = min(most, int((memory - _LEFT_GIB) / _WORKER_GIB))
    return max(1, most)


def _taken(building: Building, task: Task, answer: Answer | Died) -> Failed | None:
    """A row that is there is noted, one that cannot be is returned; what would hold for all others ends the whole."""
    if isinstance(answer, Made):
        building.note(task.number, answer.record)
        return None
    if isinstance(answer, Failed):
        return answer
    if isinstance(answer, Died):
        hint = f"if memory ran out, try with --workers 1, else {DOWNLOAD_AGAIN}"
        return Failed(f"{task.film}: the process that had it in hand {answer.how}", hint, by_itself=False)
    if isinstance(answer, OSError):
        raise answer
    form = Form.of(answer.image)
    if building.arrays is None:  # the first image tells what the arrays are like
        building.begin(form)
    assert building.arrays is not None
    if form != building.arrays.form:
        raise DataError(
            f"the images come out in different forms: {building.arrays.form}, but {task.film.name} {form}",
            hint="the chain needs the step intensity, which makes one of films of 8 and of 16 bits",
        )
    building.write(task.number, row_of(answer), answer.record)
    return None


def _refusal(folder: Path, failures: list[Failure]) -> Unmakeable:
    failures.sort(key=lambda failure: failure[0].image_id)
    told = [f"{source.image_id}: {failed.message}" for source, failed in failures]
    hints = [_ORGANIZE if failed.hint in ("", DOWNLOAD_AGAIN) else failed.hint for _, failed in failures]
    whole = [f"{line} ({hint})" for line, hint in zip(told, hints, strict=True)]
    defects = [failed.defect for _, failed in failures if failed.defect]
    files.write_text(folder / FAILURES, "\n".join([*whole, *defects]) + "\n")
    listed = "\n".join(told[:_TOLD]) + (f"\n… and {len(told) - _TOLD} more" if len(told) > _TOLD else "")
    what_to_do = "; ".join(hint for hint, _ in Counter(hints).most_common(_HINTS))
    images = "1 image" if len(failures) == 1 else f"{len(failures)} images"
    return Unmakeable(
        f"{images} could not be made; the others are done and kept:\n{listed}",
        hint=f"{what_to_do}; then start this again. The whole list: {folder / FAILURES}",
        failures=failures,
    )
