"""Trained models and what they were tested on: a comparison ranks only models that were tested on the same images."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfm.core import registry
from tfm.core.errors import RunError
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import find_field

_DEPTH = 4  # an average of forests of trained networks


def list_training_commands() -> tuple[str, ...]:
    """The commands whose runs can be compared."""
    needed = find_field(registry.find_command("compare").settings, "runs").input
    assert needed is not None
    return needed.made_by


def select_comparable(runs: Iterable[Run], like: Run) -> list[Run]:
    """The runs that were trained and tested on the same dataset as one of them."""
    dataset = read_dataset(like)
    return [run for run in runs if read_dataset(run) == dataset]


def read_dataset(run: Run) -> str:
    """The dataset of a trained run; of a forest or an average that of the networks below it. Empty if unknown."""
    return _find_dataset(run.folder, run.workspace, _DEPTH)


def list_trained_models(runs: Iterable[Run], given: Mapping[str, Any]) -> set[str]:
    """The presets that were trained already on the given dataset and cache; on any, if none is given."""
    wanted = {name: given[name] for name in ("dataset", "cache") if given.get(name)}
    return {
        preset
        for run in runs
        if wanted.items() <= _read_settings(run.folder, run.workspace).items() and (preset := run.read_head()[1])
    }


def read_compared_runs(comparison: Run) -> list[str]:
    """The ids of the models that a comparison or a report is about."""
    return list(_read_settings(comparison.folder, comparison.workspace).get("runs") or [])


@functools.lru_cache(maxsize=2048)
def _find_dataset(folder: Path, workspace: Workspace, depth: int) -> str:
    with contextlib.suppress(RunError):
        if dataset := Run(folder, workspace).read_word("dataset"):
            return dataset
    settings = _read_settings(folder, workspace)
    if "dataset" in settings or not depth:
        return str(settings.get("dataset", ""))
    below = settings.get("backbone") or next(iter(settings.get("runs") or []), None)
    return _find_dataset(workspace.runs_folder / str(below), workspace, depth - 1) if below else ""


@functools.lru_cache(maxsize=2048)
def _read_settings(folder: Path, workspace: Workspace) -> dict[str, Any]:
    """The settings of a run never change once it exists."""
    with contextlib.suppress(RunError):
        return Run(folder, workspace).read_settings()
    return {}
