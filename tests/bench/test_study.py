"""The overhead of a study over the training of its trials."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.bench.rows import report
from tests.training import small_dataset
from tests.training.studies import SPACE, create_study_run
from tfm.core.events import Event
from tfm.core.runs.execute_run import execute
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.tune import run_trials

pytestmark = pytest.mark.alone

# EfficientNetB3 with the default epochs of a study, on fewer and smaller images than in a real study.
TRIALS, SIDE = 4, 224
SETTINGS = {
    "model": "EfficientNetB3_CFT",
    "space": {name: SPACE[name] for name in ("label_smoothing", "weights")} | {"learning_rate": [1e-3, 1e-4]},
    "min_epochs": 4,
    "max_epochs": 12,
    "reduction_factor": 3,
    "checkpoint_seconds": 60,
}


@pytest.mark.long
def test_study_overhead_is_at_most_2_percent_of_its_trials(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_dataset, "SIDE", SIDE)
    small_dataset.make_small_dataset(workspace)
    spent = []

    def measure(trial: Run) -> Iterator[Event]:
        seconds = 0.0
        with contextlib.closing(execute(trial)) as events:
            try:
                while True:
                    started = time.perf_counter()
                    event = next(events, None)
                    seconds += time.perf_counter() - started
                    if event is None:
                        return
                    yield event
            finally:
                spent.append(seconds)

    monkeypatch.setattr(run_trials, "execute", measure)
    study = create_study_run(workspace, TRIALS, **SETTINGS)
    started = time.perf_counter()
    for _ in execute(study):
        pass
    whole = time.perf_counter() - started
    assert study.read_status().state == "done", study.read_status()
    assert len(spent) == TRIALS
    report("study, against its trials", whole, floor=sum(spent), at_most=1.02)
