"""The state of a watched run, built from the events in its log. Nothing here draws."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

from tfm.core.events import (
    CurrentValues,
    Event,
    IntervalChart,
    Metrics,
    Note,
    Picture,
    Progress,
    Result,
    StateChange,
    Table,
    TableRow,
)
from tfm.core.runs.run import Run

_KEPT_NOTES = 50


@dataclass
class Bar:
    """A named count, with when and where this worker started it, which gives the time left. `share` is the finished
    part of the next unit, if another count runs inside this one."""

    unit: str
    done: int
    total: int
    first_time: float
    last_time: float
    share: float = 0.0
    first: float = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.done

    @property
    def rate(self) -> float:
        passed = self.last_time - self.first_time
        return (self.done + self.share - self.first) / passed if passed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done - self.share) / self.rate if self.rate > 0 else None

    def advance(self, done: int, time: float) -> None:
        self.done, self.last_time, self.share = done, time, 0.0

    def advance_partly(self, share: float, time: float, *, is_first: bool) -> None:
        """Ignore for the pace what was done of the inner count before this worker started."""
        if is_first and self.done == self.first:
            self.first, self.first_time = self.done + share, time
        self.share, self.last_time = share, time


@dataclass
class RunView:
    run: Run
    bars: dict[str, Bar] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    gauges: dict[str, str] = field(default_factory=dict)
    notes: deque[Note] = field(default_factory=lambda: deque(maxlen=_KEPT_NOTES))
    lines: dict[str, dict[str, TableRow]] = field(default_factory=dict)  # title → first cell → its latest line
    shown: list[Table | IntervalChart | Picture] = field(default_factory=list)
    summary: str = ""  # what came out, in sentences
    closing: list[Note] = field(default_factory=list)  # the notes after the last of these
    last_time: float = 0.0
    _offset: int = 0

    @property
    def unfinished_bars(self) -> dict[str, Bar]:
        return {name: bar for name, bar in self.bars.items() if bar.done < bar.total and bar.total > 1}

    @property
    def activity(self) -> tuple[str, float]:
        """What it does now and since when, if that has no count: a single unit that is not done."""
        name, bar = next(reversed(self.bars.items()), ("", None))
        if bar is not None and bar.total <= 1 and bar.done < bar.total:
            return name, bar.first_time
        return "", self.last_time

    @property
    def seconds_left(self) -> float | None:
        """The time left of the outermost count, which is not less than that of a count within it."""
        left = [bar.seconds_left for bar in self.unfinished_bars.values()]
        return max(filter(None, left), default=left[0]) if left and left[0] is not None else None

    def read_new_events(self) -> list[Event]:
        """Read and apply the new events of the log."""
        fresh, self._offset = self.run.read_events_from(self._offset)
        for time, event in fresh:
            self.apply_event(time, event)
            self.last_time = time
        return [event for _, event in fresh]

    def apply_event(self, time: float, event: Event) -> None:
        match event:
            case Progress():
                self._apply_progress(time, event)
            case Metrics():
                self._apply_metrics(event.values)
            case CurrentValues():
                self.gauges |= event.values
            case Note():
                self.notes.append(event)
                self.closing += [event] if self.shown else []
            case TableRow():
                self.lines.setdefault(event.title, {})[event.cells[0]] = event
            case Table() | IntervalChart() | Picture():
                self.shown.append(event)
                self.closing = []
            case Result():
                self.summary = event.summary
            case StateChange(state="running"):  # resumed: the events before are repeated
                self.bars, self.gauges, self.shown, self.closing, self.lines = {}, {}, [], [], {}

    def _apply_progress(self, time: float, event: Progress) -> None:
        bar = self.bars.get(event.name)
        if bar is None or event.done < bar.done or event.total != bar.total:
            self._remove_later_bars(event.name)
            self.bars[event.name] = Bar(event.unit, event.done, event.total, time, time)
        else:
            bar.advance(event.done, time)
        outer = self.bars.get(event.within)
        if outer is not None and event.total:
            outer.advance_partly(event.done / event.total, time, is_first=bar is None)

    def _remove_later_bars(self, name: str) -> None:
        """When a count restarts, later bars belong to the round before, such as validation in a new epoch."""
        names = list(self.bars)
        for behind in names[names.index(name) + 1 :] if name in names else ():
            del self.bars[behind]

    def _apply_metrics(self, values: dict[str, float]) -> None:
        """Rows are identified by their first column (the epoch); a repeated row replaces all from there on."""
        first = next(iter(values))
        keep = bisect_left(self.metrics.get(first, []), values[first])
        for name, value in values.items():
            column = self.metrics.setdefault(name, [])
            del column[keep:]
            column.append(value)
