"""A study of ten trials, killed five times by SIGKILL at random moments, equals an undisturbed one."""

import os
import random
import signal
import time

import pytest

from tests.training.small_dataset import make_small_dataset
from tests.training.studies import collect_results, create_study_run
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.workspace import Workspace

TRIALS, KILLS = 10, 5
SETTINGS = {"max_epochs": 4, "startup_trials": 2}


def finish(run):
    started = ThisMachine().submit(run)
    started.process.wait(timeout=900)
    assert run.read_status().state == "done", run.read_status()


@pytest.mark.long
def test_study_killed_five_times_equals_an_undisturbed_one(tmp_path):
    studies = []
    for name in ("calm", "disturbed"):
        workspace = Workspace(tmp_path / name)
        make_small_dataset(workspace)
        studies.append(create_study_run(workspace, TRIALS, **SETTINGS))
    undisturbed, disturbed = studies
    finish(undisturbed)
    random_numbers = random.Random(11)
    lines = 0
    for _ in range(KILLS):
        lines += random_numbers.randint(4, 12)  # of its log, until the next kill
        started = ThisMachine().submit(disturbed)
        while started.process.poll() is None and len(disturbed.read_events()) < lines:
            time.sleep(0.01)
        assert started.process.poll() is None, "it was done before it could be killed"
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
        lines = len(disturbed.read_events())
    finish(disturbed)
    assert collect_results(disturbed) == collect_results(undisturbed)
