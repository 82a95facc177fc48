"""The events that a stage yields while it works. `ui` shows a run from its events alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Progress:
    """How far a named count is. Each name (epoch, step) has its own bar. All of this count is one unit of the count
    `within`, so that the time left is known before that unit is done."""

    name: str
    done: int
    total: int
    unit: str = ""
    within: str = ""


@dataclass(frozen=True)
class Metrics:
    """One row of figures, e.g. an epoch's; also a row of metrics.csv if the stage writes one."""

    values: dict[str, float]


@dataclass(frozen=True)
class Gauges:
    """Current values as text, by name (images/s, GPU memory). A new value replaces the old one of its name; a resumed
    run yields all of them again."""

    values: dict[str, str]


@dataclass(frozen=True)
class Note:
    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Table:
    """Rows of text. `caption` says what a reader must know about the figures."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    caption: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a growing table; it replaces an earlier row with the same first cell."""

    title: str
    columns: list[str]
    cells: list[str]


@dataclass(frozen=True)
class Intervals:
    """Values with their intervals, to be drawn as bars between `low` and `high`; `mark` is a line to compare with."""

    title: str
    rows: list[tuple[str, float, float, float]]  # label, value, low end, high end
    low: float
    high: float
    mark: float


@dataclass(frozen=True)
class Picture:
    """A file that holds a picture; `thumbnail` is a small grey one for terminals: rows, two hex digits a pixel."""

    path: str
    title: str
    thumbnail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """The last event of a stage: values that later steps and the JSON output read, and the files that must exist."""

    values: dict[str, Any]
    outputs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StateChange:
    """Recorded by the worker only: the run is running, paused, halted, failed, pruned or done."""

    state: str
    message: str = ""
    hint: str = ""


Event = Progress | Metrics | Gauges | Note | Table | Line | Intervals | Picture | Result | StateChange

_KINDS: dict[str, type[Event]] = {
    kind.__name__.lower(): kind
    for kind in (Progress, Metrics, Gauges, Note, Table, Line, Intervals, Picture, Result, StateChange)
}


def to_record(event: Event, time: float) -> dict[str, Any]:
    return {"time": round(time, 3), "kind": type(event).__name__.lower(), **asdict(event)}


def parse_record(record: dict[str, Any]) -> Event:
    values = {name: value for name, value in record.items() if name not in ("time", "kind")}
    return _KINDS[record["kind"]](**values)
