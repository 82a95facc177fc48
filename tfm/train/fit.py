"""The loop: epochs of steps, validation, checkpoints. It goes on from any checkpoint as if it had never stopped.

What is learned from stands in tasks, the batches in batches; the test split is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from tfm.core import files
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Metrics, Note, Progress
from tfm.core.randomness import seed_at
from tfm.metrics.binary import auc
from tfm.train import augment
from tfm.train.batches import Images, order
from tfm.train.checkpoint import Checkpoints
from tfm.train.infer import logits, probabilities
from tfm.train.optim import learning_rate, set_learning_rate
from tfm.train.settings import BatchSettings, OptimSettings
from tfm.train.tasks.classify import Classify

METRICS = ["epoch", "learning_rate", "train_loss", "val_loss", "val_accuracy", "val_auc"]


@dataclass
class Standing:
    """How far a training has come: with the tensors, all that the loop needs to go on."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    step: int = 0
    loss_sum: float = 0.0  # over this epoch's images so far
    best_auc: float = -math.inf
    stale: int = 0  # epochs since the best
    rows: list[dict[str, float]] = field(default_factory=list)  # of metrics.csv


@dataclass
class Training:
    network: nn.Module
    optimizer: torch.optim.Optimizer
    task: Classify
    train: Images
    val: Images
    optim: OptimSettings
    batches: BatchSettings
    seed: int
    standing: Standing = field(default_factory=Standing)

    @property
    def finished(self) -> bool:
        impatient = self.optim.patience is not None and self.standing.stale >= self.optim.patience
        return impatient or self.standing.epoch >= self.optim.epochs

    def content(self) -> dict[str, Any]:
        return {
            "standing": asdict(self.standing),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def take_up(self, content: dict[str, Any]) -> None:
        self.standing = Standing(**content["standing"])
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])


def fit(training: Training, checkpoints: Checkpoints, metrics_file: Path) -> Iterator[Event]:
    yield from _resume(training, checkpoints, metrics_file)
    while not training.finished:
        yield Progress("epoch", training.standing.epoch, training.optim.epochs, "epochs")
        yield from _train(training, checkpoints)
        row = yield from _validate(training)
        if _note_epoch(training.standing, row):
            checkpoints.save_best(training.content())
        checkpoints.save(training.content())
        _write_metrics(metrics_file, training.standing)
        yield Metrics(row)
    yield Progress("epoch", training.standing.epoch, training.standing.epoch, "epochs")


def _resume(training: Training, checkpoints: Checkpoints, metrics_file: Path) -> Iterator[Event]:
    content, trouble = checkpoints.resume()
    onward = "training goes on from the one before" if content else "training starts over"
    for damage in trouble:
        yield Note(f"checkpoint {damage}: {onward}", "warning")
    if content:
        training.take_up(content)
        standing = training.standing
        yield Note(f"going on from a checkpoint: {standing.epoch} epochs and {standing.batch} batches are done")
    _write_metrics(metrics_file, training.standing)


def _train(training: Training, checkpoints: Checkpoints) -> Iterator[Event]:
    """The rest of the epoch: of a fresh one, all of it."""
    standing, count = training.standing, len(training.train.rows)
    batches = order(training.seed, standing.epoch, count, training.batches.batch_size)
    drawn = augment.draw(training.seed, standing.epoch, count)
    training.network.train()
    for chosen in batches[standing.batch :]:
        rate = learning_rate(training.optim, standing.step, len(batches))
        set_learning_rate(training.optimizer, rate)
        loss = _step(training, chosen, drawn[chosen])
        standing.loss_sum += loss * len(chosen)
        standing.step += 1
        standing.batch += 1
        if checkpoints.due and standing.batch < len(batches):
            checkpoints.save(training.content())
        yield Progress("step", standing.batch, len(batches), "batches")


def _step(training: Training, chosen: np.ndarray, drawn: augment.Table) -> float:
    torch.manual_seed(seed_at(training.seed, "step", training.standing.step) % 2**63)  # for dropout
    try:
        films = augment.apply(training.train.films(chosen), drawn, training.batches.augmentation)
        answers = training.network(training.train.normalised(films))
        loss = training.task.loss(answers, training.train.labels(chosen))
        training.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the GPU's memory is too small for batches of {training.batches.batch_size}",
            hint="choose a smaller --batch-size, or a cache of smaller images",
        ) from error
    gradients = [tensor.grad for tensor in training.network.parameters() if tensor.grad is not None]
    size = float(torch.nn.utils.get_total_norm(gradients))
    # A gradient that isn't finite would spoil the weights, and with them the next checkpoint.
    if not math.isfinite(size) or not math.isfinite(loss.item()):
        raise _diverged(training.standing, "the loss or its gradient")
    training.optimizer.step()
    return loss.item()


def _diverged(standing: Standing, what: str) -> TrainingError:
    return TrainingError(
        f"{what} is not a finite number at step {standing.step + 1}, in epoch {standing.epoch + 1}",
        hint="choose a lower --learning-rate; what was saved before that step is kept",
    )


def _validate(training: Training) -> Generator[Event, None, dict[str, float]]:
    standing, rows = training.standing, training.val.rows
    answers = yield from logits(training.network, training.val, training.batches.batch_size, "validation")
    loss = training.task.loss(answers, torch.from_numpy(rows.labels.astype(np.float32))).item()
    if not math.isfinite(loss):
        raise _diverged(standing, "the validation loss")
    probs = probabilities(answers)
    return {
        "epoch": standing.epoch + 1,
        "learning_rate": training.optimizer.param_groups[0]["lr"],
        "train_loss": standing.loss_sum / len(training.train.rows),
        "val_loss": loss,
        "val_accuracy": float(np.mean((probs >= 0.5) == (rows.labels == 1))),
        "val_auc": auc(rows.labels, probs),
    }


def _note_epoch(standing: Standing, row: dict[str, float]) -> bool:
    """Whether it is the best so far; of equals the first stays."""
    better = row["val_auc"] > standing.best_auc
    standing.best_auc = max(standing.best_auc, row["val_auc"])
    standing.stale = 0 if better else standing.stale + 1
    standing.rows.append(row)
    standing.epoch += 1
    standing.batch = 0
    standing.loss_sum = 0.0
    return better


def _write_metrics(path: Path, standing: Standing) -> None:
    """Made from the checkpoint's rows alone, so that it never tells of more or less than was kept."""
    files.write_text(path, pd.DataFrame(standing.rows, columns=METRICS).to_csv(index=False, lineterminator="\n"))
