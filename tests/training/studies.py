"""Small studies on the pocket-sized dataset: trials of a second each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial

from tfm.core.runs.launch import find_or_create_job
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.checkpoint import Checkpoints

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
    return find_or_create_job(workspace, "tune", QUICK | {"space": SPACE, "trials": trials} | given)


def trial_runs(study: Run) -> list[Run]:
    """In the order of their trials."""
    runs = study.read_status().runs
    return [find_run(study.workspace, runs[str(number)]) for number in sorted(map(int, runs))]


def trials_of(study: Run) -> list[FrozenTrial]:
    """As the study itself knows them."""
    storage = study.read_settings()["storage"] or f"sqlite:///{study.study_file}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def told_of(study: Run) -> list[tuple[object, ...]]:
    """All that a study and its trials leave behind and that an equal study must leave too."""
    runs = [
        (run.read_status().state, run.read_settings(), *map(_bytes, (run.metrics_file, run.predictions_file("val"))))
        for run in trial_runs(study)
    ]
    known = [
        (trial.number, trial.state.name, trial.params, trial.value, trial.intermediate_values, trial.system_attrs)
        for trial in trials_of(study)
    ]
    result = {name: value for name, value in study.read_status().result.items() if name != "run"}
    return [*runs, *map(_checkpoints, trial_runs(study)), *known, (result,)]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _checkpoints(run: Run) -> tuple[object, ...]:
    """The best, and the last where a trial ended with an epoch: within one they are written by the clock."""
    checkpoints = Checkpoints(run.checkpoints_folder, seconds=0, key=run.read_status().key)
    if run.read_status().state == "failed":
        return ()
    content, trouble = checkpoints.resume()
    return (*_plain(checkpoints.load_best()), *_plain(content), *trouble)


def _plain(content: Any) -> Iterator[object]:
    """Its names and values in their order, a tensor as its bytes."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield name
            yield from _plain(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _plain(value)
    elif isinstance(content, torch.Tensor):
        yield tuple(content.shape), content.numpy().tobytes()
    else:
        yield content
