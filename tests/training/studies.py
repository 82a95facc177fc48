"""Small studies on the pocket-sized dataset, with trials of about a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial

from tfm.core.runs.find_or_create import find_or_create_job
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
DIVERGING = 1e30  # a learning rate
SPACE = {
    "learning_rate": [0.02, 1e-9, DIVERGING],
    "label_smoothing": {"low": 0.0, "high": 0.3},
    "architecture": ["test_resnet"],
    "weights": ["none"],
    "batch_size": [9],
    "warmup_epochs": [0.5],
}


def create_study_run(workspace: Workspace, trials: int, **given) -> Run:
    return find_or_create_job(workspace, "tune", QUICK | {"space": SPACE, "trials": trials} | given)


def find_trial_runs(study: Run) -> list[Run]:
    """List the runs by the number of their trial."""
    runs = study.read_status().runs
    return [find_run(study.workspace, runs[str(number)]) for number in sorted(map(int, runs))]


def read_trials(study: Run) -> list[FrozenTrial]:
    """Read the trials from the study's storage."""
    storage = study.read_settings()["storage"] or f"sqlite:///{study.study_file}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def collect_results(study: Run) -> list[tuple[object, ...]]:
    """Collect everything that must be equal in two equal studies."""
    runs = [
        (
            run.read_status().state,
            run.read_settings(),
            *map(_read_bytes, (run.metrics_file, run.predictions_file("val"))),
        )
        for run in find_trial_runs(study)
    ]
    known = [
        (trial.number, trial.state.name, trial.params, trial.value, trial.intermediate_values, trial.system_attrs)
        for trial in read_trials(study)
    ]
    result = {name: value for name, value in study.read_status().result.items() if name != "run"}
    return [*runs, *map(_load_checkpoints, find_trial_runs(study)), *known, (result,)]


def _read_bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _load_checkpoints(run: Run) -> tuple[object, ...]:
    """Load the best and the last checkpoint of a completed trial. Nothing reads those of another one again."""
    checkpoints = Checkpoints(run.checkpoints_folder, seconds=0, key=run.read_status().key)
    if run.read_status().state != "done":
        return ()
    content, trouble = checkpoints.load_newest()
    return (*_flatten(checkpoints.load_best()), *_flatten(content), *trouble)


def _flatten(content: Any) -> Iterator[object]:
    """Flatten names and values in their order, tensors as bytes."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield name
            yield from _flatten(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _flatten(value)
    elif isinstance(content, torch.Tensor):
        yield tuple(content.shape), content.numpy().tobytes()
    else:
        yield content
