"""A training without a run around it: the pocket's first images, whatever network and options a test is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from tests.returned import returned
from tests.training.pocket import make_products
from tfm.commands.train import Train
from tfm.core.events import Event, Progress
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training.batches import measure
from tfm.training.checkpoint import Checkpoints
from tfm.training.inputs.samples import Rows, labelled, rows_of
from tfm.training.loop import fit
from tfm.training.recipe import network_of, set_up
from tfm.training.state import Training
from tfm.training.tasks.factory import task_of

TINY = {"architecture": "test_resnet", "epochs": 2, "warmup_epochs": 0.5, "batch_size": 4, "learning_rate": 2e-3}
CPU = torch.device("cpu")


class BenchTop:
    def __init__(self, folder: Path, images: int = 8) -> None:
        workspace = Workspace(folder / "workspace")
        make_products(workspace)
        self.folder, self._made = folder, 0
        self.cache = Cache.open(workspace.cache_folder("pocket"))
        dataset = Dataset.open(workspace.dataset_folder("pocket"))
        self.train, self.val = (first(rows_of(dataset, self.cache, name), images) for name in ("train", "val"))

    def training(self, given: dict | None = None, preset: dict | None = None) -> Training:
        known = {"dataset": "pocket", "cache": "pocket"}
        settings = resolve(Train, preset or {}, known | (TINY if preset is None else {}) | (given or {}))
        return training_of(settings, self.cache, self.train, self.val)

    def new_folder(self) -> Path:
        self._made += 1
        folder = self.folder / f"run{self._made}"
        folder.mkdir()
        return folder


def training_of(settings: Train, cache: Cache, train: Rows, val: Rows) -> Training:
    """As the stage sets it up, without anybody's weights."""
    batches, optim, machine = settings.batches, settings.optim, settings.machine
    network = network_of(settings.model, None, cache.images.shape[1:], settings.seed)
    train = labelled(train, settings.labels, settings.seed)
    return set_up(
        network,
        task_of(network, train.labels, batches, optim, machine, settings.breast, settings.labels),
        batches,
        optim,
        machine,
        seed=settings.seed,
        cache=cache,
        train=train,
        val=val,
        normalisation=returned(measure(cache, train)),
        device=CPU,
    )


def first(rows: Rows, count: int) -> Rows:
    return replace(rows, table=rows.table.iloc[:count].reset_index(drop=True), positions=rows.positions[:count])


def learn(training: Training, folder: Path, seconds: float = 60) -> Training:
    for _ in events(training, folder, seconds):
        pass
    return training


def events(training: Training, folder: Path, seconds: float = 60) -> Iterator[Event]:
    return fit(training, Checkpoints(folder, seconds, "a key"), folder / "metrics.csv")


def step(training: Training, folder: Path, steps: int = 1) -> Training:
    """So many steps, and then nothing more."""
    for event in events(training, folder):
        steps -= isinstance(event, Progress) and event.name == "step"
        if not steps:
            return training
    raise AssertionError("it was over before")
