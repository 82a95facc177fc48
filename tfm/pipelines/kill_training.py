"""Kill a training at five moments of its work, and resume it after each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfm.core.errors import RunError
from tfm.core.events import Event, Progress
from tfm.core.runs.certificate import Kill
from tfm.core.runs.kill_run import Counts, Worker, check_time, kill_at, start_killable_worker
from tfm.core.runs.run import Run
from tfm.training.checkpoint import LAST_CHECKPOINT, Checkpoints

_MOST_MISSES = 8
_POLL_SECONDS = 0.05

Moment = Callable[[Run, Counts], bool]  # whether a worker with these latest counts is there


@dataclass
class KilledTraining:
    """What was killed. There are several runs if one ended before its kill."""

    runs: list[Run] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    misses: int = 0  # kills that fell outside of their moment and were repeated


def kill_training(
    create_run: Callable[[], Run], moments: list[Moment], deadline: float
) -> Generator[Event, None, KilledTraining]:
    """Kill a training at each moment, and resume it to its end."""
    killed = KilledTraining([create_run()])
    for number, moment in enumerate(moments):
        yield Progress("killed and resumed", number, len(moments), "times")
        while (kill := _kill_at(killed.runs[-1], moment, deadline)) is None:
            killed.misses += 1
            if killed.misses > _MOST_MISSES:
                raise RunError(
                    f"only {number} of {len(moments)} kills fell inside the work of the training",
                    hint="end other programs, then try again",
                )
            if killed.runs[-1].read_status().state == "done":
                killed.runs.append(create_run())
        killed.kills.append(kill)
    yield Progress("killed and resumed", len(moments), len(moments), "times")
    for run in killed.runs:
        with start_killable_worker(run) as worker:
            wait_for_end(worker, deadline)
    return killed


def wait_for_end(worker: Worker, deadline: float) -> None:
    while worker.is_working():
        check_time(worker, deadline)
        time.sleep(_POLL_SECONDS)
    worker.check_state("done")


def draw_moments(seed: int) -> list[Moment]:
    """In the order in which a training comes to them."""
    generator = random.Random(seed)
    early, late = generator.randint(2, 25), generator.randint(2, 25)
    return [
        lambda _, counts: _is_in_step(counts, 0, early),
        lambda run, _: any(run.checkpoints_folder.glob(f".{LAST_CHECKPOINT}.*")),  # half a checkpoint
        lambda _, counts: _name_latest(counts) == "validation" and counts["epoch"].done >= 1,
        lambda _, counts: _is_in_step(counts, 2, late),
        lambda _, counts: _name_latest(counts) == "predicting test",
    ]


def _is_in_step(counts: Counts, epoch: int, step: int) -> bool:
    return _name_latest(counts) == "step" and counts["epoch"].done >= epoch and counts["step"].done >= step


def _name_latest(counts: Counts) -> str:
    return next(reversed([*counts]), "")


def _kill_at(run: Run, moment: Moment, deadline: float) -> Kill | None:
    counts = kill_at(run, lambda counts: moment(run, counts), deadline)
    if counts is None:
        return None
    wrote = any(run.checkpoints_folder.glob(f".{LAST_CHECKPOINT}.*"))
    saved, problems = Checkpoints(run.checkpoints_folder, 0, run.read_status().key).load_newest()
    return Kill(
        place=_describe_place(counts),
        checkpoint="half written" if wrote else "; ".join(problems) or "whole",
        continued_from=_describe_standing(saved["standing"]) if saved else "the start",
    )


def _describe_place(counts: Counts) -> str:
    latest = counts[_name_latest(counts)]
    if latest.name == "epoch":
        return f"epoch {latest.done + 1}, its first step"
    where = f"{latest.name} {latest.done} of {latest.total}"
    return where if latest.name.startswith("predicting") else f"epoch {counts['epoch'].done + 1}, {where}"


def _describe_standing(standing: Mapping[str, Any]) -> str:
    if standing["epoch_step"]:
        return f"epoch {standing['epoch'] + 1}, step {standing['epoch_step']}"
    return f"the end of epoch {standing['epoch']}"
