"""A toy command that counts: it has state to lose, and takes no time."""

import time
from collections.abc import Iterator
from typing import Annotated

from tfm.core import files
from tfm.core.errors import HaltedError
from tfm.core.events import Event, Metrics, Note, Progress, Result
from tfm.core.registry import Stage
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.settings.base import NOT_IN_RUN_KEY, RunId, Settings


class Count(Settings):
    target: int = 200
    """How far should it count?"""
    start_from: RunId | None = None
    """Which run should it continue from?"""
    fail_at: int | None = None
    """At which number should it fail?"""
    halt_at: int | None = None
    """At which number should it be halted once?"""
    seconds_a_step: Annotated[float, NOT_IN_RUN_KEY] = 0.0
    """How many seconds should each number take?"""


def count(settings: Count, run: Run) -> Iterator[Event]:
    checkpoint = run.checkpoints_folder / "last.json"
    checkpoint.parent.mkdir(exist_ok=True)
    kept = files.read_json(checkpoint) if checkpoint.exists() else None
    before = find_run(run.workspace, settings.start_from).read_status().result["sum"] if settings.start_from else 0
    number, total = kept or (0, before)
    yield Note(f"continuing from {number}")
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
