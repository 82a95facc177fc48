"""A small ResNet50_Head and forests on it, made by the commands."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.training.small_dataset import make_small_dataset
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.presets import CONFIGS

HEAD = {"architecture": "test_resnet", "weights": "none", "head": 16}


def workspace_with_a_head(folder: Path) -> Workspace:
    """Make a workspace with the small dataset and a user preset: ResNet50_Head with a smaller network."""
    workspace = Workspace(folder / "workspace")
    make_small_dataset(workspace)
    preset = yaml.safe_load((CONFIGS / "models" / "ResNet50_Head.yaml").read_text())
    preset["settings"]["model"] |= HEAD
    preset["settings"]["optim"]["epochs"] = 2
    preset["settings"]["batches"]["batch_size"] = 9
    (workspace.root / "models").mkdir()
    (workspace.root / "models" / "Small_Head.yaml").write_text(yaml.safe_dump(preset))
    return workspace


def head_run(workspace: Workspace, **given: object) -> Run:
    known = {"dataset": "pocket", "cache": "pocket", "threads": 1, "device": "cpu"}
    return _run(workspace, "train", known | given, ["Small_Head"])


def forest_run(head: Run, **given: object) -> Run:
    known = {"backbone": head.id, "threads": 1, "device": "cpu"}
    few = {} if given.get("learner") == "logistic" else {"trees": 20}
    return _run(head.workspace, "forest", known | few | given)


def average_run(*runs: Run) -> Run:
    return _run(runs[0].workspace, "average", {"runs": [run.id for run in runs]})


def _run(workspace: Workspace, stage: str, given: dict[str, object], presets: list[str] | None = None) -> Run:
    run = find_or_create_job(workspace, stage, given, presets or [])
    assert isinstance(run, Run)
    return run
