"""Pretrain an encoder by masked image modelling."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch

from tfm.analysis.reconstruction_figure import draw_reconstructions
from tfm.commands import preprocess
from tfm.commands.pretrain import Pretrain
from tfm.core.events import Event, Metrics, Note, Picture, Result
from tfm.core.runs.run import Run
from tfm.models.model_spec import MaskedImageModelSpec
from tfm.models.model_summary import count_parameters
from tfm.models.normalisation import Normalisation
from tfm.models.settings import RUN, ModelSettings
from tfm.training.batch_size import settle_batch_size
from tfm.training.block_masking import check_block, has_eligible_block
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import prepare_device
from tfm.training.gpu_cache import keep_arrays_on_gpu
from tfm.training.inputs.extra_images import add_extra_images
from tfm.training.inputs.samples import split_off_patients
from tfm.training.inputs.training_data import Sources, TrainingData, choose_normalisation, open_sources
from tfm.training.loop import run_training
from tfm.training.recipe import DataSpec, TrainingRecipe
from tfm.training.state import Training
from tfm.training.tasks.reconstruction import Reconstruction
from tfm.training.tasks.task_spec import ReconstructionSpec

_HELD_OUT = 0.05  # share of the training patients held out to choose the best epoch; validation and test are not used


def make_recipe(
    settings: Pretrain, model: ModelSettings, data: TrainingData, sources: Sources, normalisation: Normalisation
) -> TrainingRecipe:
    masks = settings.masks
    return TrainingRecipe(
        model=MaskedImageModelSpec(
            settings=model,
            in_size=data.cache.images.shape[1:],
            weights=sources.weights,
            colours=normalisation.colours,
            block=masks.block,
            fill=masks.fill,
        ),
        task=ReconstructionSpec(masks=masks, loss_on=settings.loss_on, beta=settings.beta),
        batches=settings.batches,
        optimizer=settings.optim,
        machine=settings.machine,
        seed=settings.seed,
        data=DataSpec.of(data.cache, data.train, data.val, normalisation),
    )


def pretrain(settings: Pretrain, run: Run) -> Iterator[Event]:
    whole = TrainingData.open(run.workspace, settings.dataset, settings.cache, settings.fold)
    check_block(whole.cache, settings.masks)
    usable = has_eligible_block(whole.cache, whole.train, settings.masks)
    train, val = split_off_patients(whole.train, _HELD_OUT, settings.seed, usable)
    data = replace(whole, train=train, val=val, test=whole.test.select([]))
    model = ModelSettings(architecture=settings.architecture, weights=settings.weights)
    if settings.extra:  # without patients of validation, test and `val`
        evaluated = (whole.val, whole.test, val)
        data = yield from add_extra_images(run, data, evaluated, settings.extra, preprocess.COMMAND.version)
    without_block = sum(
        int((~has_eligible_block(data.cache, samples, settings.masks)).sum()) for samples in (data.train, data.val)
    )
    sources = yield from open_sources(run, data, model, evaluated_on=whole)
    normalisation = yield from choose_normalisation(run, data, model, sources)
    recipe = make_recipe(settings, model, data, sources, normalisation)
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(settings.machine, run, held)
        yield from _describe_data(settings, data, sources, without_block, device)
        yield from _train(settings, run, recipe, device)


def _describe_data(
    settings: Pretrain, data: TrainingData, sources: Sources, without_block: int, device: torch.device
) -> Iterator[Event]:
    train, val = data.train, data.val
    yield Note(
        f"{len(train)} images of {len(train.patients)} patients for training; {len(val)} images of {len(val.patients)} "
        f"other patients to choose the best epoch; {device}"
    )
    if without_block:
        yield Note(
            f"{without_block} of the {len(train) + len(val)} images have no block of {settings.masks.block} pixels "
            "with enough breast: nothing is masked in them, so they do not count",
            "warning",
        )
    seen = val.find_seen(sources.weights_source.read_patients_seen()) if sources.weights_source else ()
    if seen:
        yield Note(
            f"{settings.weights} has seen {len(seen)} of the {len(val.patients)} held-out patients: the best epoch is "
            "chosen on patients that the first weights have seen",
            "warning",
        )


def _train(settings: Pretrain, run: Run, recipe: TrainingRecipe, device: torch.device) -> Iterator[Event]:
    """Everything in the device's memory belongs to this function, so that it is freed when this function ends."""
    training = recipe.build(device)
    yield from keep_arrays_on_gpu(training)
    yield from settle_batch_size(run, training)
    checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key)
    yield from _train_with_pictures(settings, run, training, checkpoints)
    best = max(training.state.rows, key=lambda row: row[training.task.best])
    yield Result(
        {
            "run": run.id,
            "encoder": f"{RUN}{run.id}",
            "model": settings.architecture,
            "parameters": count_parameters(training.network),
            "images": len(training.train.samples),
            "epochs": training.state.epoch,
            "val_loss": best["val_loss"],
            "val_gain": best["val_gain"],
        },
        outputs=[str(checkpoints.best), str(run.metrics_file)],
        summary=f"The encoder is pretrained on {len(training.train.samples)} images. A training can start from it.",
    )


def _train_with_pictures(settings: Pretrain, run: Run, training: Training, checkpoints: Checkpoints) -> Iterator[Event]:
    """Train, and draw reconstructions every few epochs and at the end."""
    task = training.task
    assert isinstance(task, Reconstruction)

    def draw() -> Picture:
        epoch = training.state.epoch
        path = run.figures_folder / f"epoch_{epoch:04d}.png"
        small = draw_reconstructions(path, training, task)
        return Picture(str(path), f"Masked blocks and their reconstruction after {epoch} epochs", small)

    for event in run_training(training, checkpoints, run.metrics_file):
        due = training.state.epoch % settings.pictures_every == 0 and not training.is_finished
        picture = draw() if isinstance(event, Metrics) and due else None  # before the yield, which may stop the run
        yield event
        if picture:
            yield picture
    yield draw()  # also if the run was stopped after its last epoch
