"""The loop: epochs of steps, validation, checkpoints. It goes on from any checkpoint as if it had never stopped.

What is learned from stands in tasks, the batches in batches; the test split is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tfm.core import files, hints
from tfm.core.errors import TrainingError
from tfm.core.events import Event, Metrics, Note, Progress
from tfm.core.randomness import seed_at
from tfm.models.freezing import set_train_mode
from tfm.training import augment
from tfm.training.batches import Batch, balanced, chances, cut, shuffled
from tfm.training.checkpoint import Checkpoints
from tfm.training.device_errors import limits_told
from tfm.training.inference import answers
from tfm.training.inputs.lineage import Origin, resume
from tfm.training.monitor import Dials
from tfm.training.optimizer import learning_rate, set_learning_rate
from tfm.training.precision import computing_in
from tfm.training.state import Standing, Training

_LEADING = ["epoch", "learning_rate"]


def fit(
    training: Training, checkpoints: Checkpoints, metrics_file: Path, before: Origin | None = None
) -> Iterator[Event]:
    """`before` is the run that this one goes on from."""
    yield from resume(training, checkpoints, before)
    yield from _lost(training.standing.epoch, metrics_file)
    yield from _doubtful(training)
    training.ranks.begin(training.content())
    dials = Dials(training, checkpoints)
    write_metrics(metrics_file, training, _LEADING)
    while not training.finished:
        yield Progress("epoch", training.standing.epoch, training.optim.epochs, "epochs")
        yield dials.read()
        yield from _train(training, checkpoints, dials)
        row = yield from _validate(training)
        if _note_epoch(training, row):
            checkpoints.save_best(training.best_content())
        checkpoints.save(training.content())
        write_metrics(metrics_file, training, _LEADING)
        yield Metrics(row)
    yield Progress("epoch", training.standing.epoch, training.standing.epoch, "epochs")
    yield dials.read()


def _lost(kept: int, metrics_file: Path) -> Iterator[Event]:
    """Epochs that were told of, for their checkpoints stood once."""
    told = len(metrics_file.read_text(encoding="utf-8").splitlines()) - 1 if metrics_file.exists() else 0
    if told > kept:
        onward = f"training goes on behind the {kept} that stand" if kept else "training starts over"
        yield Note(f"checkpoints are lost: {told} epochs were done; {onward}", "warning")


def _doubtful(training: Training) -> Iterator[Event]:
    """What is done as it was asked for, and hardly meant."""
    optim, images = training.optim, len(training.train.rows)
    if optim.warmup_epochs > optim.epochs:
        yield Note(
            f"the warm-up of {optim.warmup_epochs:g} epochs is longer than the whole training of {optim.epochs}: "
            f"the learning rate never rises to {optim.learning_rate:g}",
            "warning",
        )
    if training.batch_size > images:
        words = f"batches of {training.batch_size} images, and there are {images} to learn from: an epoch is one step"
        yield Note(words, "warning")
    if training.precision == "fp16" and training.train.device.type == "cpu":
        yield Note("fp16 on a CPU is far slower than fp32, and less exact", "warning")


def _train(training: Training, checkpoints: Checkpoints, dials: Dials) -> Iterator[Event]:
    """The rest of the epoch: of a fresh one, all of it."""
    standing = training.standing
    steps, drawn = _epoch(training)
    set_train_mode(training.network)
    dials.start()
    for taken in steps[standing.epoch_step :]:
        training.ranks.tell(standing.epoch, standing.epoch_step, standing.step)
        set_learning_rate(training.optimizer, learning_rate(training.optim, standing.step, len(steps)))
        standing.loss_sum += _step(training, taken, drawn)
        standing.step += 1
        standing.epoch_step += 1
        if checkpoints.due and standing.epoch_step < len(steps):
            checkpoints.save(training.content())
        yield Progress("step", standing.epoch_step, len(steps), "steps", within="epoch")
        if reading := dials.count(len(taken)):
            yield reading


def follow(training: Training, orders: Iterable[tuple[int, int, int]]) -> None:
    """The loop of another process than the first: the steps that it is told, each by its place."""
    standing, known = training.standing, -1
    set_train_mode(training.network)
    # Made at its first use, and there may be none in the first step: see Together.add_up.
    training.scaler.scale(torch.zeros((), device=training.train.device))
    for standing.epoch, standing.epoch_step, standing.step in orders:
        if standing.epoch != known:
            known, (steps, drawn) = standing.epoch, _epoch(training)
        set_learning_rate(training.optimizer, learning_rate(training.optim, standing.step, len(steps)))
        _step(training, steps[standing.epoch_step], drawn)


def _epoch(training: Training) -> tuple[list[np.ndarray], augment.Table]:
    """The images of each step, over all processes, and how chance changes them."""
    places, epoch = _places(training), training.standing.epoch
    size = training.batch_size * training.batches.accumulate * training.ranks.count
    count = int(places.max()) + 1
    return cut(places, size), drawn_for(training, epoch, count)


def drawn_for(training: Training, epoch: int, count: int) -> augment.Table:
    """How chance changes so many images, a row each, and behind that what the task draws."""
    changes = augment.draw(training.seed, epoch, count)
    return np.hstack([changes, chances(count, training.task.chances, training.seed, "task", epoch)])


def _places(training: Training) -> np.ndarray:
    """The images of an epoch in their order; one that is taken again stands a whole set further on."""
    epoch, rows = training.standing.epoch, training.train.rows
    if training.batches.balance == "sampling":
        return balanced(training.seed, epoch, rows.labels)
    return shuffled(training.seed, epoch, len(rows))


def _step(training: Training, taken: np.ndarray, drawn: augment.Table) -> float:
    """One step of the optimizer, by the gradients of all its batches; the sum of their losses."""
    training.optimizer.zero_grad()
    total = torch.zeros((), device=training.train.device)
    given: dict[int, torch.Tensor] = {}
    training.task.advance(training.network)
    with limits_told(training.train.device, training.batch_size):
        for number, places in training.ranks.share(cut(taken, training.batch_size)):
            loss, given[number] = _backward(training, number, places, drawn, len(taken))
            total += loss
        total = training.ranks.add_up(training.network, total)
    norm, loss_sum = torch.stack([_clipped(training), total]).tolist()
    # A gradient that isn't finite would spoil the weights, and with them the next checkpoint.
    if not math.isfinite(loss_sum) or not (math.isfinite(norm) or _scaled(training)):
        raise _diverged(training.standing, "the loss or its gradient", f"at step {training.standing.step + 1}")
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.ema:
        training.ema.update(training.network, step=training.standing.step + 1)
    training.answered += training.ranks.collect(given)
    return float(loss_sum)


def _backward(
    training: Training, number: int, places: np.ndarray, drawn: augment.Table, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one batch among the `count` images of a step: its loss, and what the network answered."""
    torch.manual_seed(seed_at(training.seed, "step", training.standing.step, number) % 2**63)  # for dropout
    batch = batch_of(training, places, drawn[places])
    with computing_in(training.precision, training.train.device):
        loss, said = training.task.loss(training.stepped, batch)
    training.scaler.scale(loss / count).backward()  # type: ignore[no-untyped-call]
    return loss.detach(), said.detach()


def batch_of(training: Training, places: np.ndarray, drawn: augment.Table) -> Batch:
    images, changes = training.train, training.batches.augmentation
    chosen = places % len(images.rows)
    truth = images.truth(chosen, training.task.needs)
    for name in truth.keys() - {"labels"}:
        truth[name] = augment.apply_geometry(truth[name], drawn, changes)
    films = images.normalised(augment.apply(images.films(chosen), drawn, changes))
    return Batch(films, truth, drawn[:, augment.COLUMNS :])


def _clipped(training: Training) -> torch.Tensor:
    """The gradient's norm, as it was before it was shortened."""
    training.scaler.unscale_(training.optimizer)
    weights = [tensor for tensor in training.network.parameters() if tensor.grad is not None]
    norm = torch.nn.utils.get_total_norm([tensor.grad for tensor in weights if tensor.grad is not None])
    if training.optim.gradient_clip is not None:
        torch.nn.utils.clip_grads_with_norm_(weights, training.optim.gradient_clip, norm)
    return norm


def _scaled(training: Training) -> bool:
    """Whether the gradient was enlarged: if that took it too far, this step is left out and the next enlarged less."""
    return training.scaler.is_enabled() and training.scaler.get_scale() > 1


def _diverged(standing: Standing, what: str, where: str) -> TrainingError:
    return TrainingError(
        f"{what} is not a finite number {where}, in epoch {standing.epoch + 1}",
        hint=f"choose a lower {hints.setting('learning_rate')}; what was saved before is kept",
    )


def _validate(training: Training) -> Generator[Event, None, dict[str, float]]:
    standing, task, images, network = training.standing, training.task, training.val, training.judged
    network.eval()
    drawn = chances(len(images.rows), task.chances, training.seed, "validation")

    def ask(chosen: np.ndarray) -> torch.Tensor:
        batch = Batch(images.batch(chosen), images.truth(chosen, task.needs), drawn[chosen])
        with computing_in(training.precision, images.device):
            return task.answers(network, batch)

    given = yield from answers(ask, images, training.batch_size, "validation")
    if not torch.isfinite(given).all():
        raise _diverged(standing, "what the network says", "in validation")
    learned = training.train.rows.labels[_places(training) % len(training.train.rows)]
    figures = task.learned(torch.cat(training.answered), learned) | task.figures(given, images.rows.labels)
    if not all(map(math.isfinite, figures.values())):
        raise _diverged(standing, "a figure", "in validation")
    return {
        "epoch": standing.epoch + 1,
        "learning_rate": training.optimizer.param_groups[0]["lr"],
        "train_loss": standing.loss_sum / len(training.train.rows),
        **figures,
    }


def _note_epoch(training: Training, row: dict[str, float]) -> bool:
    """Whether it is the best so far; of equals the first stays."""
    standing, value = training.standing, row[training.task.best]
    better = value > standing.best
    standing.best = max(standing.best, value)
    standing.stale = 0 if better else standing.stale + 1
    standing.rows.append(row)
    standing.epoch += 1
    standing.epoch_step = 0
    standing.loss_sum = 0.0
    training.answered = []
    return better


def write_metrics(path: Path, training: Training, leading: list[str]) -> None:
    """Made from the checkpoint's rows alone, so that it never tells of more or less than was kept. `leading` columns
    say which row it is; the loss of training and the task's own stand behind them."""
    table = pd.DataFrame(training.standing.rows, columns=[*leading, "train_loss", *training.task.columns])
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
