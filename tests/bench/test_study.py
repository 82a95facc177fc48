"""What a study costs beside the trainings it is made of."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.training import pocket
from tests.training.studies import SPACE, study_run
from tfm.core.events import Event
from tfm.core.runs.executor import execute
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.tune import search

pytestmark = pytest.mark.alone

# EfficientNetB3 with the epochs that a study gives it by default, on fewer and smaller images than any real study has.
TRIALS, SIDE = 4, 224
GIVEN = {
    "model": "EfficientNetB3_CFT",
    "space": {name: SPACE[name] for name in ("label_smoothing", "weights")} | {"learning_rate": [1e-3, 1e-4]},
    "min_epochs": 4,
    "max_epochs": 12,
    "reduction_factor": 3,
    "checkpoint_seconds": 60,
}


@pytest.mark.long
def test_a_study_takes_at_most_2_percent_of_the_time_of_its_trials(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setattr(pocket, "SIDE", SIDE)
    pocket.make_products(workspace)
    spent = []

    def timed(trial: Run) -> Iterator[Event]:
        here = 0.0
        with contextlib.closing(execute(trial)) as events:
            try:
                while True:
                    begun = time.perf_counter()
                    event = next(events, None)
                    here += time.perf_counter() - begun
                    if event is None:
                        return
                    yield event
            finally:
                spent.append(here)

    monkeypatch.setattr(search, "execute", timed)
    study = study_run(workspace, TRIALS, **GIVEN)
    begun = time.perf_counter()
    for _ in execute(study):
        pass
    whole = time.perf_counter() - begun
    assert study.read_status().state == "done", study.read_status()
    assert len(spent) == TRIALS
    record_property("seconds of trials", round(sum(spent), 1))
    record_property("seconds of the study beside them", round(whole - sum(spent), 2))
    assert whole - sum(spent) <= 0.02 * sum(spent)
