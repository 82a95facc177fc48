"""One way to report a measurement: ours beside the usual way and the floor, of the same run, with its limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Without a floor and a usual way, the limit is one of `ours` itself."""

    what: str
    ours: float
    unit: str
    usual: float | None  # what most programs do
    floor: float | None  # what no program can do without
    at_most: float | None  # times the floor
    at_least: float | None  # times as fast as the usual way, or as the floor

    @property
    def figure(self) -> float:
        """What the limit is about."""
        if self.at_least is not None and (reference := self.usual or self.floor):
            return reference / self.ours
        return self.ours / self.floor if self.floor else self.ours

    @property
    def required(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {'× floor' if self.floor else self.unit}"
        if self.at_least is None:
            return ""
        unit = "× as fast" if self.usual else "of its speed" if self.floor else self.unit
        return f"≥ {self.at_least:g} {unit}"

    @property
    def is_reached(self) -> bool:
        return (self.at_most is None or self.figure <= self.at_most) and (
            self.at_least is None or self.figure >= self.at_least
        )


rows: list[Row] = []  # of all tests that have run in this process


def report(
    what: str,
    ours: float,
    *,
    unit: str = "s",
    usual: float | None = None,
    floor: float | None = None,
    at_most: float | None = None,
    at_least: float | None = None,
) -> None:
    """Keep a row for the table, and fail the test if its limit is not reached."""
    row = Row(what, ours, unit, usual, floor, at_most, at_least)
    rows.append(row)
    assert row.is_reached, f"{what}: {row.figure:.3g}, required {row.required}"


def find_best(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Of several pairs of ours and theirs: a busy machine slows either side now and then."""
    return min(pairs, key=lambda pair: pair[0] / pair[1])


def measure_until(ratio: float, measure: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """The best pair of three, or the first one in which ours takes at most `ratio` of theirs."""
    pairs: list[tuple[float, float]] = []
    while len(pairs) < 3:
        pairs.append(measure())
        if pairs[-1][0] <= ratio * pairs[-1][1]:
            break
    return find_best(pairs)
