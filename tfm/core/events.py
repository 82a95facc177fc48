"""The events that a pipeline yields while it works, and their records in events.jsonl.

`ui` shows a run from its events alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tfm.core.records import build_record


@dataclass(frozen=True)
class Progress:
    """`done` of `total`, shown as one bar per name (epoch, step).

    A complete count is one unit of the count called `within`, which makes the time left known before that unit ends.
    A total of 1 that is not done names an activity that cannot be counted.
    """

    name: str
    done: int
    total: int
    unit: str = ""
    within: str = ""


@dataclass(frozen=True)
class Metrics:
    """One row of numbers, such as the metrics of an epoch. Training also writes it to metrics.csv."""

    values: dict[str, float]


@dataclass(frozen=True)
class CurrentValues:
    """Readings such as images/s and GPU memory, as text. Each replaces the earlier reading of its name; a resumed run
    yields all of them again."""

    values: dict[str, str]


@dataclass(frozen=True)
class Note:
    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Table:
    """Rows of text. The caption explains the numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    caption: str = ""


@dataclass(frozen=True)
class TableRow:
    """A row added to the table of this title. It replaces an earlier row with the same first cell."""

    title: str
    columns: list[str]
    cells: list[str]


@dataclass(frozen=True)
class IntervalChart:
    """Values with their confidence intervals on an axis from `low` to `high`, with a reference line at `mark`."""

    title: str
    rows: list[tuple[str, float, float, float]]  # label, value, low end, high end
    low: float
    high: float
    mark: float


@dataclass(frozen=True)
class Picture:
    """An image file. `thumbnail` is a small grey copy for terminals: rows of pixels, two hex digits each."""

    path: str
    title: str
    thumbnail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """The last event of a pipeline: values for later steps and the JSON output, the files that it wrote, and what came
    out in plain sentences."""

    values: dict[str, Any]
    outputs: list[str] = field(default_factory=list)
    summary: str = ""


@dataclass(frozen=True)
class StateChange:
    """The new state of the run (running, paused, halted, failed, pruned, done). Only the worker records it."""

    state: str
    message: str = ""
    hint: str = ""


Event = Progress | Metrics | CurrentValues | Note | Table | TableRow | IntervalChart | Picture | Result | StateChange

_KINDS: dict[str, type[Event]] = {  # as written in events.jsonl
    "progress": Progress,
    "metrics": Metrics,
    "gauges": CurrentValues,
    "note": Note,
    "table": Table,
    "line": TableRow,
    "intervals": IntervalChart,
    "picture": Picture,
    "result": Result,
    "statechange": StateChange,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_record(event: Event, time: float) -> dict[str, Any]:
    return {"time": round(time, 3), "kind": _NAMES[type(event)], **asdict(event)}


def parse_record(record: dict[str, Any]) -> Event:
    """Build the event that a log contains. Raises ValueError or KeyError if it is none."""
    values = {name: value for name, value in record.items() if name not in ("time", "kind")}
    return build_record(_KINDS[record["kind"]], values)
