"""Intervals as text for people and as plain numbers for programs. How they are computed is in `tfm.metrics`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tfm.metrics.intervals import Interval


def format_interval(interval: Interval) -> str:
    if not math.isfinite(interval.value):
        return format_number(interval.value)
    return f"{format_number(interval.value)} ({format_number(interval.low)} to {format_number(interval.high)})"


def format_number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def format_difference(interval: Interval) -> str:
    """Format a difference with its interval, with a minus sign in place of a hyphen."""
    return format_interval(interval).replace("-", "\N{MINUS SIGN}")


def format_p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else format_number(value)


def format_range(values: Sequence[float]) -> str:
    """Format the lowest and the highest of several values; a dash for a single one."""
    return f"{format_number(min(values))} to {format_number(max(values))}" if len(values) > 1 else "–"


def flatten_intervals(intervals: Mapping[str, Interval]) -> dict[str, float | None]:
    """Map name, name_low and name_high of each interval to a number, or to None where it is undefined."""
    return {part: value for name, interval in intervals.items() for part, value in interval.flatten(name).items()}
