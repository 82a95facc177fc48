"""A toy stage that counts: enough state to lose, nothing heavy. What holds for it holds for the house."""

import time
from collections.abc import Iterator
from typing import Annotated

from tfm.core import files
from tfm.core.errors import HaltedError
from tfm.core.events import Event, Metrics, Note, Progress, Result
from tfm.core.registry import Stage
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.settings.schema import NOT_IN_RUN_KEY, RunId, Settings


class Count(Settings):
    target: int = 200
    """How far to count"""
    start_from: RunId | None = None
    """A counted run to go on from"""
    fail_at: int | None = None
    """A number at which to fail"""
    halt_at: int | None = None
    """A number at which a part of it is ended from outside, once"""
    seconds_a_step: Annotated[float, NOT_IN_RUN_KEY] = 0.0
    """How long a number takes"""


def count(settings: Count, run: Run) -> Iterator[Event]:
    checkpoint = run.checkpoints_folder / "last.json"
    checkpoint.parent.mkdir(exist_ok=True)
    kept = files.read_json(checkpoint) if checkpoint.exists() else None
    before = find_run(run.workspace, settings.start_from).read_status().result["sum"] if settings.start_from else 0
    number, total = kept or (0, before)
    yield Note(f"counting on from {number}")
    while number < settings.target:
        number += 1
        if number == settings.fail_at:
            raise ZeroDivisionError("the toy was told to fail")
        if number == settings.halt_at and not checkpoint.exists():
            files.write_json(checkpoint, [number, total])
            raise HaltedError("the abacus was taken away", hint="bring it back")
        total = (total * 31 + number) % 1_000_003
        if number % 10 == 0:
            files.write_json(checkpoint, [number, total])
        time.sleep(settings.seconds_a_step)
        yield Metrics({"number": number, "sum": total})
        yield Progress("count", number, settings.target)
    counted = run.folder / "counted.txt"
    files.write_text(counted, f"{total}\n")
    yield Result({"sum": total, "run": run.id}, outputs=[str(counted)])


COMMAND = Stage(settings=Count, pipeline="tests.toys.count:count", version=1)
