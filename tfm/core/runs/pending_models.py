"""Models that wait or run already, so that nobody starts them twice by mistake."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from tfm.core.errors import RunError
from tfm.core.runs.job_index import JobIndex, ListedJob, find_model_of_step
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run

_WORDS = {
    "running": "running",
    "waiting": "queued",
    "paused": "paused",
    "halted": "halted",
    "skipped": "skipped",
}  # of several runs of a model, the first of these counts


def list_pending_models(index: JobIndex, given: Mapping[str, Any]) -> dict[str, str]:
    """Map each model that has begun or waits on the given dataset and cache to "running", "queued" or such."""
    wanted = {name: given[name] for name in ("dataset", "cache") if given.get(name)}
    states: dict[str, set[str]] = {}
    for one in index.top:
        for model, state, settings in _list_models(one) if one.state in _WORDS else ():
            if all(settings.get(name, value) == value for name, value in wanted.items()):
                states.setdefault(model, set()).add(state)
    words = {model: [word for state, word in _WORDS.items() if state in found] for model, found in states.items()}
    return {model: found[0] for model, found in words.items() if found}


def _list_models(listed: ListedJob) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The model, the state and the settings of a run, or of each step of a plan."""
    job = listed.job
    with contextlib.suppress(RunError):
        if isinstance(job, Run):
            yield listed.model, listed.state, job.read_settings()
        elif isinstance(job, Plan):
            for step in job.read_steps():
                yield find_model_of_step(step.name), listed.steps.get(step.name, ""), dict(step.settings)
