"""What a run took: its epochs, speed and memory, as far as it recorded them."""

from __future__ import annotations

import contextlib
import json
import statistics
from dataclasses import dataclass

from tfm.core.runs.run import Run

_READINGS = b'"kind": "gauges"'  # the lines of events.jsonl that hold a run's readings


@dataclass(frozen=True)
class RunCosts:
    epochs: int | None  # also None for a regression on frozen features, which has no epochs
    images_per_second: float | None  # the median of the readings during training
    memory_gib: float | None  # the peak on the GPU


def read_run_costs(run: Run) -> RunCosts:
    speeds, memory = [], []
    for values in _read_readings(run):
        with contextlib.suppress(KeyError, ValueError):
            speeds.append(float(values["images/s"]))
        with contextlib.suppress(KeyError, ValueError):
            memory.append(float(values["GPU memory"].partition(" ")[0]))
    return RunCosts(
        epochs=run.read_status().result.get("epochs") or None,
        images_per_second=statistics.median(speeds) if speeds else None,
        memory_gib=max(memory, default=None),
    )


def _read_readings(run: Run) -> list[dict[str, str]]:
    """Parse only the lines that matter: a long training has thousands of others."""
    readings = []
    for line in run.read_event_lines():
        if _READINGS in line:
            with contextlib.suppress(ValueError, KeyError):  # a damaged line
                readings.append(json.loads(line)["values"])
    return readings
