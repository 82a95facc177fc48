"""Pretrain an encoder by masked image modelling."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import replace

import torch

from tfm.analysis.reconstruction_figure import draw_reconstructions
from tfm.commands import preprocess
from tfm.commands.pretrain import Pretrain
from tfm.core.events import Event, Metrics, Note, Picture, Result
from tfm.core.runs.run import Run
from tfm.models.model_card import count_parameters
from tfm.models.settings import RUN, ModelSettings
from tfm.models.spectral_loss import SpectralNorms
from tfm.training import batch_size, gpu_cache
from tfm.training.batches import Normalisation
from tfm.training.block_masking import check_block, with_blocks
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import prepare
from tfm.training.distributed.main_process import learn
from tfm.training.inputs.extra_images import with_extra
from tfm.training.inputs.samples import held_out
from tfm.training.inputs.training_data import Material, Start, measured, start
from tfm.training.recipe import rebuilder_of, set_up
from tfm.training.settings import (
    BatchSettings,
    OptimSettings,
)
from tfm.training.state import Training
from tfm.training.tasks.reconstruction import Reconstruct

_HELD_OUT = 0.05  # of the training women: they choose the best epoch, and nobody of validation and test is seen


def pretrain(settings: Pretrain, run: Run) -> Iterator[Event]:
    whole = Material.open(run.workspace, settings.dataset, settings.cache, settings.fold)
    check_block(whole.cache, settings.masks)
    usable = with_blocks(whole.cache, whole.train, settings.masks)
    train, val = held_out(whole.train, _HELD_OUT, settings.seed, usable)
    material = replace(whole, train=train, val=val, test=whole.test.only([]))
    model = ModelSettings(architecture=settings.architecture, weights=settings.weights)
    if settings.extra:  # never among those kept back
        judged = (whole.val, whole.test, val)
        material = yield from with_extra(run, material, judged, settings.extra, preprocess.COMMAND.version)
    bare = sum(int((~with_blocks(material.cache, rows, settings.masks)).sum()) for rows in (material.train, val))
    begun = yield from start(run, material, model, judged_by=whole)
    normalisation = yield from measured(run, material.cache, material.train)
    with contextlib.ExitStack() as held:
        device = yield from prepare(settings.machine, run, held)
        yield from _trained(settings, run, material, model, begun, bare, normalisation, device)


def _trained(
    settings: Pretrain,
    run: Run,
    material: Material,
    model: ModelSettings,
    begun: Start,
    without_block: int,
    normalisation: Normalisation,
    device: torch.device,
) -> Iterator[Event]:
    """From the network's first weights on: all that lies on the device is known here alone."""
    training, task = _set_up(settings, material, model, begun, normalisation, device)
    yield from gpu_cache.settle(training)
    yield from batch_size.settle(run, training)
    yield from _introduced(settings, material, begun, without_block, training)
    checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key)
    yield from _learn(settings, run, model, training, task, checkpoints)
    best = max(training.standing.rows, key=lambda row: row[task.best])
    yield Result(
        {
            "run": run.id,
            "encoder": f"{RUN}{run.id}",
            "model": settings.architecture,
            "parameters": count_parameters(training.network),
            "images": len(material.train),
            "epochs": training.standing.epoch,
            "val_loss": best["val_loss"],
            "val_gain": best["val_gain"],
        },
        outputs=[str(checkpoints.best), str(run.metrics_file)],
    )


def _set_up(
    settings: Pretrain,
    material: Material,
    model: ModelSettings,
    begun: Start,
    normalisation: Normalisation,
    device: torch.device,
) -> tuple[Training, Reconstruct]:
    height, width = material.cache.images.shape[1:]
    network = rebuilder_of(model, begun.weights, (height, width), settings.seed, settings.masks)
    norms = SpectralNorms(network.encoder) if settings.beta else None
    task = Reconstruct(settings.masks, settings.loss_on, settings.beta, norms, (height, width))
    training = set_up(
        network,
        task,
        BatchSettings(**dict(settings.batches), balance="none"),
        OptimSettings(**dict(settings.optim)),
        settings.machine,
        seed=settings.seed,
        cache=material.cache,
        train=material.train,
        val=material.val,
        normalisation=normalisation,
        device=device,
    )
    return training, task


def _introduced(settings: Pretrain, material: Material, begun: Start, bare: int, training: Training) -> Iterator[Event]:
    train, val = material.train, material.val
    yield Note(
        f"{len(train)} images of {len(train.patients)} women to learn from, {len(val)} of {len(val.patients)} others "
        f"to choose the best epoch by; {training.train.device}"
    )
    if bare:
        yield Note(
            f"{bare} of the {len(train) + len(val)} images have no block of {settings.masks.block} pixels that is "
            "breast enough: nothing of them is hidden, and nothing learned",
            "warning",
        )
    met = set(val.patients).intersection(begun.source.patients_seen) if begun.source else ()
    if met:
        yield Note(
            f"{settings.weights} has seen {len(met)} of the {len(val.patients)} women who are kept back: the best "
            "epoch is chosen on women that its weights know",
            "warning",
        )


def _learn(
    settings: Pretrain, run: Run, model: ModelSettings, training: Training, task: Reconstruct, checkpoints: Checkpoints
) -> Iterator[Event]:
    """And shows from time to time what is rebuilt."""

    def drawn() -> Picture:
        epoch = training.standing.epoch
        path = run.figures_folder / f"epoch_{epoch:04d}.png"
        small = draw_reconstructions(path, training, task)
        return Picture(str(path), f"Hidden blocks and what is rebuilt of them, after {epoch} epochs", small)

    network = functools.partial(rebuilder_of, model, None, task.in_size, settings.seed, settings.masks)
    for event in learn(training, network, settings.machine, checkpoints, run.metrics_file):
        due = training.standing.epoch % settings.pictures_every == 0 and not training.finished
        picture = drawn() if isinstance(event, Metrics) and due else None  # before the run may be stopped
        yield event
        if picture:
            yield picture
    yield drawn()  # also where the run was stopped behind its last epoch
