"""How far a run is, and its best score so far: read from the end of its files, which is quick for hundreds of runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfm.core.events import Progress
from tfm.core.runs.run import Run, parse_line

SCORES = ("val_auc", "val_dice", "val_gain")  # of each training, the first of these that it has; higher is better

_OUTERMOST = ("trials", "epoch")  # the counts that contain all others
_END_BYTES = 1 << 20


@dataclass(frozen=True)
class Count:
    """How much of a count is done, such as 7 of 40 epochs, and the time left at the pace of the last unit."""

    name: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Score:
    name: str
    value: float


def read_progress(run: Run) -> Count | None:
    """The latest count of a run: of its epochs or trials if it has any."""
    end = run.read_log_end(_END_BYTES)
    marks = [f'"kind": "progress", "name": "{name}"'.encode() for name in _OUTERMOST]
    for mark in (*marks, b'"kind": "progress"'):
        if (latest := _find_progress(end, mark, len(end))) is not None:
            place, time, event = latest
            return Count(event.name, event.done, event.total, _estimate_left(end, mark, place, time, event))
    return None


def _find_progress(end: bytes, mark: bytes, before: int) -> tuple[int, float, Progress] | None:
    """The last count with this mark: the place of its line, its time and itself."""
    while (found := end.rfind(mark, 0, before)) >= 0:
        start = end.rfind(b"\n", 0, found) + 1
        parsed = parse_line(end[start : end.find(b"\n", found)])
        if parsed is not None and isinstance(parsed[1], Progress):
            return start, parsed[0], parsed[1]
        before = start
    return None


def _estimate_left(end: bytes, mark: bytes, place: int, time: float, latest: Progress) -> float | None:
    before = _find_progress(end, mark, place)
    if before is None or before[2].name != latest.name or before[2].done >= latest.done:
        return None
    if time <= before[1]:  # the clock was set back
        return None
    return (time - before[1]) / (latest.done - before[2].done) * (latest.total - latest.done)


def read_best_score(run: Run) -> Score | None:
    """The best score in the table of metrics, which grows while a run trains."""
    try:
        rows = list(csv.DictReader(run.metrics_file.read_text(encoding="utf-8").splitlines()))
        for name in SCORES:
            values = [float(row[name]) for row in rows if row.get(name)]
            if finite := [value for value in values if math.isfinite(value)]:
                return Score(name, max(finite))
    except (OSError, ValueError):
        return None
    return None


def find_score(result: Mapping[str, Any]) -> Score | None:
    """The score in the result of a run that is done."""
    return next((Score(name, result[name]) for name in SCORES if isinstance(result.get(name), float)), None)
