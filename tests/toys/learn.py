"""A toy training with epochs and steps. It can be extended, and repeated over folds and seeds."""

import time
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from tfm.core import files
from tfm.core.errors import RunError
from tfm.core.events import CurrentValues, Event, Metrics, Note, Progress, Result
from tfm.core.registry import Repeat, Stage
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import IMPORTANT, NOT_IN_RUN_KEY, RunId, Settings


class Loop(Settings):
    epochs: Annotated[int, Field(ge=1), IMPORTANT] = 4
    """How many epochs?"""
    seconds_a_step: Annotated[float, NOT_IN_RUN_KEY] = 0.0
    """How many seconds should each step take?"""


class Learn(Settings):
    pages: int = 5
    """How many steps has an epoch?"""
    sections: Annotated[int, IMPORTANT] = 3
    """How many folds are there?"""
    fold: Annotated[int, Field(ge=1)] | None = None
    """Which fold is left out?"""
    loop: Loop = Loop()
    seed: int = 7
    """Which seed?"""
    extends: RunId | None = None
    """Which run does this one extend?
    The learning rate is planned again for the new number of epochs."""


def count_sections(settings: Learn, workspace: Workspace) -> int:
    return settings.sections


def learn(settings: Learn, run: Run) -> Iterator[Event]:
    last = run.checkpoints_folder / "last.json"
    last.parent.mkdir(exist_ok=True)
    epoch, known = files.read_json(last) if last.exists() else _read_start(settings, run)
    yield Note(f"continuing from epoch {epoch}" + (f" of {settings.extends}" if settings.extends else ""))
    while epoch < settings.loop.epochs:
        yield Progress("epoch", epoch, settings.loop.epochs, "epochs")
        for page in range(settings.pages):
            time.sleep(settings.loop.seconds_a_step)
            yield Progress("step", page + 1, settings.pages, "batches", within="epoch")
            yield CurrentValues(
                {"images/s": f"{page + 40}", "GPU memory": "3.1 of 80 GiB", "last checkpoint": f"{epoch}"}
            )
        epoch, known = epoch + 1, known + (settings.fold or 1) / (settings.seed * epoch + 1)
        files.write_json(last, [epoch, known])
        yield CurrentValues({"best": f"val_auc {1 - 1 / (known + 2):.3f} in epoch {epoch}"})
        figures = {"learning_rate": 1e-3 * (1 - epoch / settings.loop.epochs), "train_loss": 1 / epoch}
        figures |= {"val_loss": 1.2 / epoch, "val_accuracy": 1 - 0.5 / epoch, "val_auc": 1 - 1 / (known + 2)}
        yield Metrics({"epoch": epoch} | figures)
    yield Progress("epoch", epoch, settings.loop.epochs, "epochs")
    yield Result({"run": run.id, "known": known, "epochs": epoch}, outputs=[str(last)])


def _read_start(settings: Learn, run: Run) -> tuple[int, float]:
    if settings.extends is None:
        return 0, 0.0
    last = find_run(run.workspace, settings.extends).checkpoints_folder / "last.json"
    if not last.exists():
        raise RunError(f"{settings.extends} has no checkpoint", hint="restart it")
    epoch, known = files.read_json(last)
    return epoch, known


COMMAND = Stage(
    settings=Learn,
    pipeline="tests.toys.learn:learn",
    version=1,
    extends_by="epochs",
    repeats=(Repeat("folds", "fold", at_most="tests.toys.learn:count_sections"), Repeat("seeds", "seed")),
)
