"""What a run starts from: another's weights, another's end, or where it had come itself; and whom these have seen."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.events import Event, Note, Progress, StateChange
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.models.settings import RUN
from tfm.training.checkpoint import Checkpoints
from tfm.training.gpu_lock import WAITING
from tfm.training.inputs.samples import Rows, check_unseen
from tfm.training.state import Training

SAME = {
    "dataset_hash": "dataset",
    "split_hash": "split",
    "images_sha256": "images",
    "breast_sha256": "breast masks",
    "lesions_sha256": "lesion masks",
}


@dataclass(frozen=True)
class Origin:
    run: Run

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.run.checkpoints_folder, seconds=0, key=self.run.read_status().key)

    @property
    def patients_seen(self) -> list[str]:
        return list(self.run.read_environment()["patients_seen"])

    @property
    def unknown(self) -> list[str]:
        """The files from which its weights come, of which nobody knows whom they have seen."""
        return list(self.run.read_environment()["origin_unknown"])


def minutes_of_work(run: Run) -> float:
    """Without the waits for other runs, and with those of the run that it goes on from or stands on. From a worker's
    death to the next start nobody waited."""
    told, _ = run.read_events_from(0)
    waited = sum(
        later - time
        for (time, event), (later, following) in itertools.pairwise(told)
        if isinstance(event, Progress) and event.name.startswith(WAITING) and not isinstance(following, StateChange)
    )
    before: float = run.read_environment().get("minutes_before", 0.0)
    return (run.read_status().seconds - waited) / 60 + before


def of_weights(workspace: Workspace, weights: str, val: Rows, test: Rows) -> Origin | None:
    """The run that `run:ID` names; refused where it has seen who is to be judged by."""
    if not weights.startswith(RUN):
        return None
    origin = Origin(find_run(workspace, weights.removeprefix(RUN)))
    if not origin.checkpoints.best.is_file():
        raise DataError(
            f"{origin.run.id} has no best checkpoint to take weights from",
            hint=f"name a run of train or pretrain that is done: see {hints.command('runs list')}",
        )
    origin.run.check_outputs()
    check_unseen(f"the weights of {origin.run.id}", origin.patients_seen, validation=val, test=test)
    return origin


def of_extension(run: Run, extends: str | None) -> Origin | None:
    return Origin(find_run(run.workspace, extends)) if extends else None


def of_study(run: Run, study: str | None, test: Rows) -> Origin | None:
    """The study that chose the settings; refused where it has seen who is to be tested. Its validation may be this
    run's own."""
    if study is None:
        return None
    origin = Origin(find_run(run.workspace, study))
    check_unseen(f"the trials of {origin.run.id}", origin.patients_seen, test=test)
    return origin


def check_same(origin: Origin, here: dict[str, object]) -> None:
    """Women who were learned from may have come into the test since."""
    began = origin.run.read_environment()
    # A run of before masks had digests says nothing about its own.
    changed = [words for name, words in SAME.items() if began.get(name, here[name]) != here[name]]
    if changed:
        raise DataError(
            f"the {' and '.join(changed)} of {origin.run.id} have changed since it was trained",
            hint="train anew on what stands now",
        )


def resume(training: Training, checkpoints: Checkpoints, before: Origin | None) -> Iterator[Event]:
    """To where this run had come, else to the end of the one that it goes on from: patience begins anew there, the best
    so far stays the one to beat."""
    over = f"training starts over{f' from the end of {before.run.id}' if before else ''}"
    content = yield from _newest(checkpoints, "checkpoint", over)
    if content:
        training.take_up(content)
        standing = training.standing
        yield Note(f"going on from a checkpoint: {standing.epoch} epochs and {standing.epoch_step} steps are done")
    elif before:
        yield from _begin_at_the_end_of(before, training, checkpoints)


def _begin_at_the_end_of(before: Origin, training: Training, checkpoints: Checkpoints) -> Iterator[Event]:
    content = yield from _newest(before.checkpoints, f"{before.run.id}'s checkpoint", "there is no other")
    if content is None:
        raise DataError(f"{before.run.id} has no checkpoint that is whole", hint="train anew with more epochs")
    training.take_up(content)
    training.standing = replace(training.standing, stale=0)
    checkpoints.save_best(before.checkpoints.load_best())
    checkpoints.save(training.content())


def _newest(checkpoints: Checkpoints, whose: str, otherwise: str) -> Generator[Event, None, dict[str, Any] | None]:
    content, trouble = checkpoints.resume()
    for damage in trouble:
        yield Note(f"{whose} {damage}: {'training goes on from the one before' if content else otherwise}", "warning")
    return content
