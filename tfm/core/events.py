"""What a stage says while it works. Events are all that a watcher ever sees of a run; none of them draws anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Progress:
    """How far one named count has come. Several names (epoch, step) are several bars; `within` names the count of which
    all of this one is one more, so that its time left is known before the first is done."""

    name: str
    done: int
    total: int
    unit: str = ""
    within: str = ""


@dataclass(frozen=True)
class Metrics:
    """One row of figures, e.g. an epoch's; also a row of metrics.csv where the stage writes one."""

    values: dict[str, float]


@dataclass(frozen=True)
class Gauges:
    """What stands now, by name and as a person reads it (images/s, GPU memory); each name replaces what it said before.
    Where a run is taken up anew they are all said again."""

    values: dict[str, str]


@dataclass(frozen=True)
class Note:
    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Table:
    """Rows as a person reads them. `caption` carries what must be said in the same breath as the figures."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    caption: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table that grows while a stage works; one with the same first cell replaces what it said before."""

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
    """Said by the worker alone: the run waits, runs, paused, failed or is done."""

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
