"""Small studies on the pocket-sized dataset: trials of a second each."""

from __future__ import annotations

from tfm.core.jobs import find_run
from tfm.core.prepare import job_for
from tfm.core.run import Run
from tfm.core.workspace import Workspace

QUICK = {
    "model": "ResNet18_CFT",
    "dataset": "pocket",
    "cache": "pocket",
    "min_epochs": 1,
    "max_epochs": 2,
    "reduction_factor": 2,
    "startup_trials": 2,
    "device": "cpu",
    "threads": 1,
    "checkpoint_seconds": 0,
}
DIVERGES = 1e30  # a learning rate
SPACE = {
    "learning_rate": [0.02, 1e-9, DIVERGES],
    "label_smoothing": {"low": 0.0, "high": 0.3},
    "architecture": ["test_resnet"],
    "weights": ["none"],
    "batch_size": [9],
    "warmup_epochs": [0.5],
}


def study_run(workspace: Workspace, trials: int, **given) -> Run:
    return job_for(workspace, "tune", QUICK | {"space": SPACE, "trials": trials} | given)


def trial_runs(study: Run) -> list[Run]:
    """In the order of their trials."""
    runs = study.status.runs
    return [find_run(study.workspace, runs[str(number)]) for number in sorted(map(int, runs))]


def told_of(study: Run) -> list[tuple[object, ...]]:
    """All that a study and its trials leave behind and that an equal study must leave too."""
    runs = [
        (run.status.state, run.given_settings, run.metrics_file.read_bytes() if run.metrics_file.exists() else b"")
        for run in trial_runs(study)
    ]
    result = {name: value for name, value in study.status.result.items() if name != "run"}
    return [*runs, (result,)]
