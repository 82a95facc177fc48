"""How long a run worked, with the runs that it is built on."""

from __future__ import annotations

import itertools

from tfm.core.events import Progress, StateChange
from tfm.core.runs.run import Run
from tfm.training.gpu_lock import WAITING


def measure_minutes_of_work(run: Run) -> float:
    """Without waiting for other runs, and including the runs that this one extends or is built on. The time between the
    death of a process and the next start does not count."""
    has_waited = any(WAITING.encode() in line for line in run.read_event_lines())
    events = run.read_events_from(0)[0] if has_waited else []
    waited = sum(
        max(0.0, later - time)  # a clock can be set back
        for (time, event), (later, following) in itertools.pairwise(events)
        if isinstance(event, Progress) and event.name.startswith(WAITING) and not isinstance(following, StateChange)
    )
    before: float = run.read_environment().get("minutes_before", 0.0)
    return (run.read_status().seconds - waited) / 60 + before
