"""A small dataset and cache in the real formats, learned in seconds: discs are benign, stars are malignant."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from tfm.core.events import Progress
from tfm.core.registry import find_stage
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import write_manifest
from tfm.data.phantom.prepared_dataset import write_prepared_dataset

SIDE = 64
PATIENTS = {"train": 18, "val": 8, "test": 10}  # two images each


def make_small_dataset(workspace: Workspace, name: str = "pocket", *, synthetic: bool = True) -> None:
    protocol = "pocket split, all lesions"
    write_prepared_dataset(workspace, name, PATIENTS, SIDE, protocol=protocol, synthetic=synthetic)


def rewrite_records(workspace: Workspace, change, name: str = "pocket") -> None:
    """Replace each image's record in the cache by `change(image_id, record)`."""
    path = workspace.cache_folder(name) / "index.csv"
    index = pd.read_csv(path, dtype=str, keep_default_na=False)
    records = zip(index["image_id"], map(json.loads, index["record"]), strict=True)
    index.assign(record=[json.dumps(change(*one)) for one in records]).to_csv(path, index=False)


def rewrite_manifest(workspace: Workspace, change, name: str = "pocket") -> None:
    path = workspace.dataset_folder(name) / "manifest.csv"
    write_manifest(path.parent, change(pd.read_csv(path, dtype=str, keep_default_na=False)))


def change_masks(workspace: Workspace, change, name: str = "pocket") -> None:
    """Replace each image's lesion mask in the cache by `change(image_id, mask)`."""
    folder = workspace.cache_folder(name)
    masks, images = np.load(folder / "lesions.npy"), pd.read_csv(folder / "index.csv")["image_id"]
    changed = [change(*one).astype(np.uint8) for one in zip(images, masks, strict=True)]
    np.save(folder / "lesions.npy", np.stack(changed))


QUICK_SETTINGS = {
    "dataset": "pocket",
    "cache": "pocket",
    "weights": "none",
    "epochs": 2,
    "warmup_epochs": 0.5,
    "batch_size": 9,
    "learning_rate": 2e-3,
    "threads": 1,
    "device": "cpu",
}


def make_train_run(workspace: Workspace, name: str = "MammoCNN", **given) -> Run:
    return find_or_create_job(workspace, "train", QUICK_SETTINGS | given, [name])


def finish_run(run: Run) -> Run:
    """Execute it in this process, as a worker does."""
    assert worker.execute_run(run, stopping=run) == "done", run.read_status().message
    return run


class Killed(BaseException):
    """The end of a process between two steps."""


def stop_after_steps(run: Run, steps: int) -> None:
    """Execute it until so many training steps are done, then abandon it, as a kill does."""
    generator = find_stage("train").generate(load_settings(run), run)
    with run.hold_lock():
        for event in generator:
            steps -= isinstance(event, Progress) and event.name == "step"
            if not steps:
                break
        with contextlib.suppress(Killed):
            generator.throw(Killed())


def read_results(run: Run) -> dict[str, bytes]:
    """Read the files that must be equal to the last bit."""
    paths: list[Path] = [run.metrics_file, run.predictions_file("val"), run.predictions_file("test")]
    return {path.name: path.read_bytes() for path in paths}
