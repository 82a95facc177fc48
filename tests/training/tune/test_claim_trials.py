"""Which trials a worker may take over from other workers."""

from __future__ import annotations

import time

import pytest

from tests.training.small_dataset import make_small_dataset
from tests.training.studies import SPACE, create_study_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.tune.claim_trials import Worker
from tfm.training.tune.settings import HyperbandSettings
from tfm.training.tune.storage import open_storage
from tfm.training.tune.study import Study, count_silent_seconds

TOTAL = 4


@pytest.fixture
def run(workspace: Workspace) -> Run:
    make_small_dataset(workspace)
    return create_study_run(workspace, TOTAL)


@pytest.fixture
def worker(run: Run) -> Worker:
    storage = open_storage(f"sqlite:///{run.workspace.root / 's.db'}")
    return Worker(run, Study(storage, "tfm-t", SPACE, HyperbandSettings(), 7), TOTAL)


def test_trial_of_a_silent_worker_in_another_workspace_is_abandoned(worker, monkeypatch):
    study = worker.study
    theirs = study.claim_trial(TOTAL, "run-1 on elsewhere:/workspace", frozenset())
    assert not worker.is_abandoned(theirs)
    assert worker.claim_trial().number == 1, "a new one, because the other is at work"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 700)
    assert worker.is_abandoned(study.get_trial(theirs.number))
    study.record_activity(theirs.number)
    assert count_silent_seconds(study.get_trial(theirs.number)) == 0
    assert not worker.is_abandoned(study.get_trial(theirs.number))


def test_trial_of_a_stopped_or_removed_run_here_is_abandoned(worker, run):
    other = create_study_run(run.workspace, TOTAL, seed=9)
    theirs = worker.study.claim_trial(TOTAL, f"{other.id} on {worker.place}", frozenset())
    with other.hold_lock():
        assert not worker.is_abandoned(theirs)
    assert worker.is_abandoned(theirs)
    assert worker.is_abandoned(worker.study.claim_trial(TOTAL, f"removed on {worker.place}", frozenset()))


def test_worker_owns_its_trial_until_another_takes_it_over(worker):
    trial = worker.claim_trial()
    assert worker.is_owner(trial.number)
    assert worker.claim_trial().number == trial.number, "it resumes its own trial"
    worker.study.claim_trial(TOTAL, "another", frozenset({worker.name}))
    assert not worker.is_owner(trial.number)
