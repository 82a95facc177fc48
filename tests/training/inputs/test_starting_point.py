"""Where a run starts from."""

import json

import pytest

from tests.toys.learn import Learn
from tfm.core.events import Metrics, Note, Progress, StateChange, to_record
from tfm.core.registry import find_stage
from tfm.core.runs.find_or_create import find_or_create_run
from tfm.training.gpu_lock import WAITING
from tfm.training.minutes_of_work import measure_minutes_of_work


def test_minutes_of_work_exclude_the_wait_for_a_gpu(workspace):
    wait = Progress(f"{WAITING}the GPU", 0, 1)
    events = [
        (0, StateChange("running")),
        *((time, wait) for time in range(0, 60, 2)),  # then the worker was killed
        (1000, StateChange("running")),
        *((time, wait) for time in range(1000, 1120, 2)),
        (1120, Note("its turn")),
        (1300, Metrics({"epoch": 1})),
    ]
    run = find_or_create_run(workspace, find_stage("learn"), Learn(), None)
    lines = [json.dumps(to_record(event, float(time))) for time, event in events]
    (run.folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    run.update(seconds=58 + 120 + 180)
    assert measure_minutes_of_work(run) == pytest.approx(3)
