"""Trainings without a run around them, on the first images of the small dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from tests.returned import returned
from tests.training.small_dataset import make_small_dataset
from tfm.commands.train import Train
from tfm.core.events import Event, Progress
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.pipelines.train import make_recipe
from tfm.training.batches import measure_intensities
from tfm.training.checkpoint import Checkpoints
from tfm.training.inputs.samples import Samples, find_samples, keep_labels
from tfm.training.loop import run_training
from tfm.training.optimizer import make_optimizer
from tfm.training.state import Training

TINY = {"architecture": "test_resnet", "epochs": 2, "warmup_epochs": 0.5, "batch_size": 4, "learning_rate": 2e-3}
CPU = torch.device("cpu")


class SmallTrainings:
    def __init__(self, folder: Path, images: int = 8) -> None:
        workspace = Workspace(folder / "workspace")
        make_small_dataset(workspace)
        self.folder, self._made = folder, 0
        self.cache = Cache.open(workspace.cache_folder("pocket"))
        dataset = Dataset.open(workspace.dataset_folder("pocket"))
        self.train, self.val = (
            find_samples(dataset, self.cache, name).select(list(range(images))) for name in ("train", "val")
        )

    def make(self, given: dict | None = None, preset: dict | None = None) -> Training:
        known = {"dataset": "pocket", "cache": "pocket"}
        settings = resolve(Train, preset or {}, known | (TINY if preset is None else {}) | (given or {}))
        return build_training(settings, self.cache, self.train, self.val)

    def new_folder(self) -> Path:
        self._made += 1
        folder = self.folder / f"run{self._made}"
        folder.mkdir()
        return folder


def build_training(settings: Train, cache: Cache, train: Samples, val: Samples, device: torch.device = CPU) -> Training:
    """Build what the train pipeline builds, without pretrained weights."""
    train = keep_labels(train, settings.labels, settings.seed)
    normalisation = returned(measure_intensities(cache, train))
    return make_recipe(settings, cache, train, val, normalisation).build(device)


def train_to_end(training: Training, folder: Path, seconds: float = 60) -> Training:
    for _ in start_training(training, folder, seconds):
        pass
    return training


def start_training(training: Training, folder: Path, seconds: float = 60) -> Iterator[Event]:
    return run_training(training, Checkpoints(folder, seconds, "a key"), folder / "metrics.csv")


def take_steps(training: Training, folder: Path, steps: int = 1) -> Training:
    """Take so many steps and abandon the training there."""
    for event in start_training(training, folder):
        steps -= isinstance(event, Progress) and event.name == "step"
        if not steps:
            return training
    raise AssertionError("the training ended before")


def use_linear_network(training):
    """Replace the network by one without batch statistics and dropout."""
    torch.manual_seed(3)
    training.network = training.compiled_network = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 1))
    training.optimizer = make_optimizer(training.network, training.recipe.optimizer)
    return training


class BreastAreaTask:
    """Predict the share of an image that is breast: a task that needs masks and draws, and keeps state."""

    needs = frozenset({"breast", "lesions"})
    draws = 2
    columns = ("train_error", "val_error", "val_score")
    best = "val_score"

    def __init__(self):
        self.seen = []

    def start_step(self, network):
        pass

    def compute_loss(self, network, batch):
        self.seen.append(batch)
        errors = self.predict(network, batch)
        return errors.sum(), errors

    def predict(self, network, batch):
        return (network(batch.images) - batch.targets["breast"].float().mean((1, 2, 3))[:, None]).abs()

    def compute_train_metrics(self, outputs, labels):
        return {"train_error": float(outputs.mean())}

    def compute_val_metrics(self, outputs, labels):
        error = float(outputs.mean())
        return {"val_error": error, "val_score": -error}

    def state_dict(self):
        return {"batches": torch.tensor(len(self.seen))}

    def load_state_dict(self, state):
        self.batches_before = int(state["batches"])
