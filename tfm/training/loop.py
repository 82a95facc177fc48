"""The loop: epochs of steps, validation, checkpoints. Resumed from any checkpoint, it ends as if never interrupted.

What is trained for lives in tasks, how batches are made in batches. The test split is unknown here.
"""

from __future__ import annotations

import contextlib
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
from tfm.training.batches import OTHER_VIEW, Batch, balance_samples, draw_numbers, shuffle_samples, split_evenly
from tfm.training.checkpoint import Checkpoints
from tfm.training.device_errors import explain_device_errors
from tfm.training.distributed.processes import Share, share_steps
from tfm.training.inference import run_in_batches
from tfm.training.inputs.starting_point import SourceRun, resume
from tfm.training.live_readings import Monitor
from tfm.training.optimizer import get_learning_rate
from tfm.training.precision import autocast
from tfm.training.state import LoopState, Training

_FIRST_COLUMNS = ["epoch", "learning_rate"]


def run_training(
    training: Training, checkpoints: Checkpoints, metrics_file: Path, extended: SourceRun | None = None
) -> Iterator[Event]:
    """Train to the last epoch, from the newest checkpoint, else from the end of the run that this one extends."""
    yield from resume(training, checkpoints, extended)
    yield from _report_lost_epochs(training.state.epoch, metrics_file)
    yield from _warn_about_settings(training)
    monitor = Monitor(training, checkpoints)
    write_metrics(metrics_file, training, _FIRST_COLUMNS)
    if training.state.rows and not training.state.epoch_step:
        yield Metrics(training.state.rows[-1])  # again: the last worker may have ended between its checkpoint and this
    with share_steps(training):
        _settle_sums(training)
        while not training.is_finished:
            yield Progress("epoch", training.state.epoch, training.recipe.optimizer.epochs, "epochs")
            yield monitor.read()
            yield from _train_epoch(training, checkpoints, monitor)
            row = yield from _validate(training)
            if _finish_epoch(training, row):
                checkpoints.save_best(training.best_state_dict())
            checkpoints.save(training.state_dict())
            write_metrics(metrics_file, training, _FIRST_COLUMNS)
            yield Metrics(row)
    yield Progress("epoch", training.state.epoch, training.state.epoch, "epochs")
    yield monitor.read()


def _report_lost_epochs(kept: int, metrics_file: Path) -> Iterator[Event]:
    """Compare the checkpoint with metrics.csv, which an earlier checkpoint wrote."""
    written = len(metrics_file.read_text(encoding="utf-8").splitlines()) - 1 if metrics_file.exists() else 0
    if written > kept:
        start = f"training continues after epoch {kept}" if kept else "training starts over"
        yield Note(f"checkpoints are lost: {written} epochs were done; {start}", "warning")


def _warn_about_settings(training: Training) -> Iterator[Event]:
    """Warn about settings that are valid but probably not intended."""
    settings, images = training.recipe.optimizer, len(training.train.samples)
    if settings.warmup_epochs > settings.epochs:
        yield Note(
            f"the warm-up of {settings.warmup_epochs:g} epochs is longer than the whole training of "
            f"{settings.epochs}: the learning rate never reaches {settings.learning_rate:g}",
            "warning",
        )
    if training.batch_size > images:
        yield Note(
            f"the batch size is {training.batch_size}, and there are only {images} training images: an epoch is one "
            "step",
            "warning",
        )
    if training.precision == "fp16" and training.device.type == "cpu":
        yield Note("on a CPU, fp16 is much slower than fp32, and less exact", "warning")


def _train_epoch(training: Training, checkpoints: Checkpoints, monitor: Monitor) -> Iterator[Event]:
    """Take the epoch's remaining steps."""
    state = training.state
    steps, changes = _plan_epoch(training)
    set_train_mode(training.network)
    monitor.start()
    try:
        for places in steps[state.epoch_step :]:
            training.processes.announce_step(state.epoch, state.epoch_step, state.step)
            state.loss_sum += train_step(training, places, changes, len(steps))
            state.step += 1
            state.epoch_step += 1
            if checkpoints.is_due and state.epoch_step < len(steps):
                checkpoints.save(training.state_dict())
            yield Progress("step", state.epoch_step, len(steps), "steps", within="epoch")
            if reading := monitor.count(len(places)):
                yield reading
    except GeneratorExit:  # a pause
        checkpoints.save(training.state_dict())
        raise


def follow_steps(training: Training, announced: Iterable[tuple[int, int, int]]) -> None:
    """The loop of a process other than the first: take the steps that the first process announces."""
    state, planned = training.state, -1
    set_train_mode(training.network)
    _settle_sums(training)
    for state.epoch, state.epoch_step, state.step in announced:
        if state.epoch != planned:
            planned, (steps, changes) = state.epoch, _plan_epoch(training)
        train_step(training, steps[state.epoch_step], changes, len(steps))


def _settle_sums(training: Training) -> None:
    """Compute the gradients of one batch in vain, where several processes share the steps.

    From its second backward pass on, DistributedDataParallel adds up in another order. So the first step after a resume
    adds up as it does in an undisturbed training.
    """
    if training.processes.count == 1:
        return
    set_train_mode(training.network)
    buffers = {name: tensor.clone() for name, tensor in training.network.named_buffers()}
    places = np.arange(training.batch_size)
    with explain_device_errors(training.device, training.batch_size):
        _compute_gradients(training, Share(0, places, 0, True), draw_changes(training, 0, len(places)), len(places))
    training.optimizer.zero_grad()
    with torch.no_grad():
        for name, tensor in training.network.named_buffers():
            tensor.copy_(buffers[name])


def _plan_epoch(training: Training) -> tuple[list[np.ndarray], augment.Table]:
    """The places of each step's images, over all processes, and the random changes of each place."""
    places = _order_images(training)
    size = training.batch_size * training.recipe.batches.accumulate * training.processes.count
    return split_evenly(places, size), draw_changes(training, training.state.epoch, int(places.max()) + 1)


def draw_changes(training: Training, epoch: int, count: int) -> augment.Table:
    """(count, k): a row of augmentation for each place, followed by the task's own draws."""
    changes = augment.draw_table(training.recipe.seed, epoch, count)
    own = draw_numbers(count, training.task.draws, training.recipe.seed, "task", epoch)
    return np.hstack([changes, own])


def _order_images(training: Training) -> np.ndarray:
    """The epoch's places in order. Place i + k × (number of images) is image i, taken for the k-th time again."""
    epoch, samples, seed = training.state.epoch, training.train.samples, training.recipe.seed
    if training.recipe.data.balanced:
        return balance_samples(seed, epoch, samples.labels)
    return shuffle_samples(seed, epoch, len(samples))


def train_step(training: Training, places: np.ndarray, changes: augment.Table, steps_an_epoch: int) -> float:
    """Take one step of the optimizer over all of a step's batches, and return the sum of the images' losses."""
    settings, state = training.recipe.optimizer, training.state
    for group in training.optimizer.param_groups:
        group["lr"] = get_learning_rate(settings, state.step, steps_an_epoch)
    training.optimizer.zero_grad()
    training.task.start_step(training.network)
    batches = split_evenly(places, training.batch_size)
    total, own_outputs = torch.zeros((), device=training.device), {}
    with explain_device_errors(training.device, training.batch_size):
        for share in training.processes.share(batches):
            loss, own_outputs[share.number] = _compute_gradients(training, share, changes, len(places))
            total += loss * bool(share.factor)
        total, outputs = training.processes.combine(total, own_outputs, batches)
    norm, loss_sum = torch.stack([_clip_gradient(training), total]).tolist()
    # The scaler skips a step whose scaled gradient overflowed, and lowers the scale for the next one.
    skips_overflow = training.scaler.is_enabled() and training.scaler.get_scale() > 1
    # A gradient that is not finite would spoil the weights, and with them the next checkpoint.
    if not math.isfinite(loss_sum) or not (math.isfinite(norm) or skips_overflow):
        raise _describe_divergence(state, "the loss or its gradient", f"at step {state.step + 1}")
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.ema:
        training.ema.update(training.network, step=state.step + 1)
    if training.processes.rank == 0:
        training.train_outputs.append(outputs.cpu())
    return float(loss_sum)


def _compute_gradients(
    training: Training, share: Share, changes: augment.Table, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradients of one batch of a step with `count` images; return its loss and outputs."""
    seed = seed_at(training.recipe.seed, "step", training.state.step, share.number)
    torch.manual_seed(seed % 2**63)  # for dropout
    batch = make_training_batch(training, share.places, changes[share.places])
    with contextlib.nullcontext() if share.is_last else training.processes.hold_back_gradients():
        with autocast(training.precision, training.device):
            loss, outputs = training.processes.compute_loss(training, batch)
        training.scaler.scale(loss * share.factor / count).backward()  # type: ignore[no-untyped-call]
    return loss.detach(), outputs.detach()


def make_training_batch(training: Training, places: np.ndarray, changes: augment.Table) -> Batch:
    images, settings = training.train, training.recipe.batches.augmentation
    chosen = places % len(images.samples)
    targets = images.load_targets(chosen, training.task.needs - {OTHER_VIEW})
    for name in targets.keys() - {"labels"}:
        targets[name] = augment.augment_masks(targets[name], changes, settings)
    if OTHER_VIEW in training.task.needs:
        others = images.load_greys(images.samples.other_views[chosen])
        own_changes = changes[:, augment.COLUMNS :] * 2 - 1
        targets[OTHER_VIEW] = images.normalise(augment.augment_images(others, own_changes, settings))
    changed = augment.augment_images(images.load_greys(chosen), changes, settings)
    return Batch(images.normalise(changed), targets, changes[:, augment.COLUMNS :])


def _clip_gradient(training: Training) -> torch.Tensor:
    """Clip the gradient to the chosen norm, and return its norm before that."""
    training.scaler.unscale_(training.optimizer)
    weights = [tensor for tensor in training.network.parameters() if tensor.grad is not None]
    norm = torch.nn.utils.get_total_norm([tensor.grad for tensor in weights if tensor.grad is not None])
    clip = training.recipe.optimizer.gradient_clip
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(weights, clip, norm)
    return norm


def _describe_divergence(state: LoopState, what: str, where: str) -> TrainingError:
    return TrainingError(
        f"{what} is not a finite number {where}, in epoch {state.epoch + 1}",
        hint=f"choose a lower {hints.setting('learning_rate')}; the checkpoints before this are kept",
    )


def _validate(training: Training) -> Generator[Event, None, dict[str, float]]:
    state, task, images, network = training.state, training.task, training.val, training.evaluated_network
    network.eval()
    draws = draw_numbers(len(images.samples), task.draws, training.recipe.seed, "validation")

    def predict(chosen: np.ndarray) -> torch.Tensor:
        batch = Batch(images.load(chosen), images.load_targets(chosen, task.needs), draws[chosen])
        with autocast(training.precision, images.device):
            return task.predict(network, batch)

    outputs = yield from run_in_batches(predict, images, training.batch_size, "validation")
    if not torch.isfinite(outputs).all():
        raise _describe_divergence(state, "an output of the network", "in validation")
    train_labels = training.train.samples.labels[_order_images(training) % len(training.train.samples)]
    metrics = task.compute_train_metrics(torch.cat(training.train_outputs), train_labels)
    metrics |= task.compute_val_metrics(outputs, images.samples.labels)
    if not all(map(math.isfinite, metrics.values())):
        raise _describe_divergence(state, "a metric", "in validation")
    return {
        "epoch": state.epoch + 1,
        "learning_rate": training.optimizer.param_groups[0]["lr"],
        "train_loss": state.loss_sum / len(training.train.samples),
        **metrics,
    }


def _finish_epoch(training: Training, row: dict[str, float]) -> bool:
    """Add the epoch to the state; return whether it is the best so far. Of equal epochs the first one stays best."""
    state, value = training.state, row[training.task.best]
    is_better = value > state.best
    state.best = max(state.best, value)
    state.stale = 0 if is_better else state.stale + 1
    state.rows.append(row)
    state.epoch += 1
    state.epoch_step = 0
    state.loss_sum = 0.0
    training.train_outputs = []
    return is_better


def write_metrics(path: Path, training: Training, first_columns: list[str]) -> None:
    """Write metrics.csv from the training's state alone, so that it always agrees with the checkpoint."""
    table = pd.DataFrame(training.state.rows, columns=[*first_columns, "train_loss", *training.task.columns])
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
