"""How a cache comes about: rows that stand are kept or copied, the others made by as many processes as there are cores.
What a row is made of stands in sources, where it waits until all are there in building."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal

from tfm.core import files, machine
from tfm.core.errors import DataError
from tfm.data.arrays import Form
from tfm.data.building import FAILURES, Building, Donor, discard, facts_so_far, put_in_place
from tfm.data.crew import Died, share_out
from tfm.data.dataset import Dataset
from tfm.data.making import Answer, Failed, Made, NotWritten, RowMaker, Task, film_of, row_of
from tfm.data.sources import Source, sources_of
from tfm.data.standing import Standing, refuse_replacing, settings_of
from tfm.imaging.settings import ChainSettings

Workers = Literal["auto"] | int
Failure = tuple[Source, Failed]

_WORTH_A_WORKER = 8  # images: fewer are made sooner than another process has started
_TOLD = 10


def build_cache(
    folder: Path, dataset: Dataset, chain: ChainSettings, *, version: int, workers: Workers = "auto"
) -> Iterator[tuple[int, int]]:
    """(images done, images in all). Stopped anywhere and started again it goes on, and ends byte for byte the same,
    whatever stood there and however many work at it. `version` is that of the code that makes the images."""
    folder.mkdir(exist_ok=True)
    files.sweep(folder)
    put_in_place(folder)
    settings = settings_of(chain, version)
    standing = Standing.read(folder)
    sources = sources_of(dataset, {**(standing.facts if standing else {}), **facts_so_far(folder)})
    if standing and (standing.settings != settings or not standing.is_whole()):
        standing = None
    if standing and standing.serves(dataset, sources):
        discard(folder)
        yield len(sources), len(sources)
        return
    refuse_replacing(folder, dataset, chain)
    with Building(folder, dataset.folder.name, settings, sources) as building:
        yield len(building.records), len(sources)
        yield from _copied(building, standing)
        failures = yield from _made(building, chain, workers)
        if failures:
            raise _refusal(folder, failures)
        building.finish()


def _copied(building: Building, standing: Standing | None) -> Iterator[tuple[int, int]]:
    total = len(building.sources)
    begun = total - len(building.missing())
    donated = [building.copy(Donor.standing(standing))] if standing else []
    for rows in (*donated, building.copy_earlier()):
        for _ in rows:
            begun += 1
            yield begun, total


def _made(
    building: Building, chain: ChainSettings, workers: Workers
) -> Generator[tuple[int, int], None, list[Failure]]:
    failures: list[Failure] = []
    total = len(building.sources)
    tasks = [
        Task(number, building.sources[number].film, building.sources[number].mask) for number in building.missing()
    ]
    while building.arrays is None and tasks:  # the first image tells what the arrays are like
        first = tasks.pop(0)
        film = film_of(first, chain)
        if isinstance(film, Failed):
            failures.append((building.sources[first.number], film))
        else:
            building.begin(Form.of(film.image))
            building.write(first.number, row_of(film), film.record)
        yield total - len(tasks), total
    if building.arrays is None or not tasks:
        return failures
    building.begin(building.arrays.form)
    maker = RowMaker(building.folder, chain)
    made = share_out(maker, tasks, _how_many(workers, len(tasks)))
    with contextlib.closing(maker), contextlib.closing(made) as answers:
        for done, (task, answer) in enumerate(answers, total - len(tasks) + 1):
            if (failure := _taken(building, task, answer)) is not None:
                failures.append((building.sources[task.number], failure))
            yield done, total
    building.flush()
    return failures


def _how_many(workers: Workers, images: int) -> int:
    if workers == "auto":
        return max(1, min(machine.cores(), images // _WORTH_A_WORKER))
    return min(workers, images)


def _taken(building: Building, task: Task, answer: Answer | Died) -> Failed | None:
    """A row that is there is noted, one that cannot be is returned; what would hold for all others ends the whole."""
    if isinstance(answer, Made):
        building.note(task.number, answer.record)
        return None
    if isinstance(answer, NotWritten):
        raise OSError(answer.errno, answer.reason, str(building.folder))
    if isinstance(answer, Died):
        return Failed(f"{task.film}: the process that had it in hand {answer.how}", hint="try with --workers 1")
    if isinstance(answer, Failed):
        return answer
    assert building.arrays is not None
    form, others = answer.form, building.arrays.form
    missing = "intensity" if form[:2] == others[:2] else "resize"
    raise DataError(
        f"the images come out in different forms: {others}, but {task.film.name} {form}",
        hint=f"the chain needs the step {missing}",
    )


def _refusal(folder: Path, failures: list[Failure]) -> DataError:
    failures.sort(key=lambda failure: failure[0].image_id)
    told = [f"{source.image_id}: {failed.message}" for source, failed in failures]
    defects = [failed.defect for _, failed in failures if failed.defect]
    files.write_text(folder / FAILURES, "\n".join([*told, *defects]) + "\n")
    listed = "\n".join(told[:_TOLD]) + (f"\n… and {len(told) - _TOLD} more" if len(told) > _TOLD else "")
    return DataError(
        f"{len(failures)} images could not be made; the others are done and kept:\n{listed}",
        hint="organize the download again (its audit leaves out what cannot be read), or fetch those files again; "
        f"then start this again. The whole list: {folder / FAILURES}",
    )
