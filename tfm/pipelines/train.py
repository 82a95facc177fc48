"""Train a classification model and predict validation and test with its best checkpoint."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from tfm.analysis.predictions import make_table, save_predictions
from tfm.commands.train import Train
from tfm.core.events import Event, Note, Result
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.models.build import build_model
from tfm.models.features import check_averaging
from tfm.models.model_card import build_card, count_parameters, describe_weights
from tfm.models.settings import ModelSettings
from tfm.training import batch_size, gpu_cache
from tfm.training.batches import Normalisation
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import prepare
from tfm.training.distributed.main_process import learn
from tfm.training.inference import logits, probabilities
from tfm.training.inputs.lineage import Origin, of_weights
from tfm.training.inputs.samples import Rows, check_learnable, labelled
from tfm.training.inputs.training_data import Material, Start, measured, start
from tfm.training.linear_probe import probe
from tfm.training.recipe import network_of, set_up
from tfm.training.settings import (
    BreastSettings,
)
from tfm.training.state import Training
from tfm.training.tasks.breast_aware import lacking
from tfm.training.tasks.factory import task_of


def arranged(settings: Train, workspace: Workspace) -> Material:
    """What a training of these settings learns from, is validated and is tested on."""
    material = Material.open(workspace, settings.dataset, settings.cache, settings.fold)
    check_learnable(material.train, material.val, material.test)
    return replace(material, train=labelled(material.train, settings.labels, settings.seed))


def check(settings: Train, workspace: Workspace) -> None:
    """Refuses what a training of these settings will refuse, for who has something else done before it."""
    material = arranged(settings, workspace)
    of_weights(workspace, settings.model.weights, material.val, material.test)
    in_size = material.cache.images.shape[1:]
    with torch.device("meta"):  # of which parts it is made, and no numbers
        network = build_model(settings.model, in_size)
    batches, optim, machine = settings.batches, settings.optim, settings.machine
    task_of(network, material.train.labels, batches, optim, machine, settings.breast, settings.labels)
    if settings.breast != BreastSettings():
        _check_averaging(settings.model, in_size)


@functools.cache  # an experiment asks for each of its combinations
def _check_averaging(model: ModelSettings, in_size: tuple[int, int]) -> None:
    check_averaging(build_model(model, in_size), in_size)


def train(settings: Train, run: Run) -> Iterator[Event]:
    material = arranged(settings, run.workspace)
    begun = yield from start(run, material, settings.model, settings.extends, settings.study)
    normalisation = yield from measured(run, material.cache, material.train)
    with contextlib.ExitStack() as held:
        device = yield from prepare(settings.machine, run, held)
        yield from _trained(settings, run, material, begun, normalisation, device)


def _trained(
    settings: Train, run: Run, material: Material, begun: Start, normalisation: Normalisation, device: torch.device
) -> Iterator[Event]:
    """From the network's first weights to its predictions: all that lies on the device is known here alone."""
    train, val, test = material.train, material.val, material.test
    training = _set_up(settings, material, begun, normalisation, device)
    yield from gpu_cache.settle(training)
    yield from batch_size.settle(run, training, begun.before)
    yield from _introduced(settings, training, material.cache)
    yield Note(f"{len(train)} images to learn from, {len(val)} for validation, {len(test)} for the test; {device}")
    checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key)
    yield from _learn(settings, run, training, checkpoints, begun.before)
    training.judged.load_state_dict(checkpoints.load_best()["network"])
    yield from _finish(settings, run, training, test, checkpoints.best)


def _set_up(
    settings: Train, material: Material, begun: Start, normalisation: Normalisation, device: torch.device
) -> Training:
    batches, optim, machine = settings.batches, settings.optim, settings.machine
    in_size = material.cache.images.shape[1:]
    network = network_of(settings.model, begun.weights, in_size, settings.seed)
    if settings.breast != BreastSettings():
        check_averaging(network, in_size)
    return set_up(
        network,
        task_of(network, material.train.labels, batches, optim, machine, settings.breast, settings.labels),
        batches,
        optim,
        machine,
        seed=settings.seed,
        cache=material.cache,
        train=material.train,
        val=material.val,
        normalisation=normalisation,
        device=device,
    )


def _introduced(settings: Train, training: Training, cache: Cache) -> Iterator[Event]:
    """How large the network is, before it takes its first step, and what it cannot be told."""
    height, width = cache.images.shape[1:]
    card = build_card(settings.model, (height, width), training.batch_size)
    explained = f"explained at its layer {card.explanation_layer} ({card.layout})"
    yield Note(
        f"{card.parameters:,} parameters, {card.trained:,} of them trained; images of {height} × {width}; "
        f"≈ {card.memory / 2**30:.1f} GiB for batches of {card.batch_size}; "
        f"{explained if card.layout else 'which of its layers explains it is not known'}"
    )
    for words in lacking(settings.breast, training.train):
        yield Note(words, "warning")


def _learn(
    settings: Train, run: Run, training: Training, checkpoints: Checkpoints, before: Origin | None
) -> Iterator[Event]:
    if settings.model.trained != "none":
        in_size = training.train.cache.images.shape[1:]
        network = functools.partial(network_of, settings.model, None, in_size, settings.seed)
        yield from learn(training, network, settings.machine, checkpoints, run.metrics_file, before)
    else:
        yield from probe(training, checkpoints, run.metrics_file, run.checkpoints_folder)


def _finish(settings: Train, run: Run, training: Training, test: Rows, best: Path) -> Iterator[Event]:
    """The last step: the best checkpoint's probabilities."""
    tables = {}
    for split, words, rows in (("val", "validation", training.val.rows), ("test", "test", test)):
        if settings.trial and split == "test":
            continue
        answers = yield from logits(
            training.task,
            training.judged,
            replace(training.val, rows=rows),
            training.batch_size,
            f"predicting {words}",
            precision=training.precision,
            tta=settings.tta,
        )
        tables[split] = make_table(rows, probabilities(answers))
    outputs = [*(run.predictions_file(split) for split in tables), best, run.metrics_file]
    yield Result(
        {
            "model": run.read_preset() or settings.model.architecture,
            "weights": describe_weights(settings.model.weights, run.read_environment()["origin_unknown"]),
            "parameters": count_parameters(training.network),
            "epochs": training.standing.epoch,
            **save_predictions(run, tables, settings.threshold),
        },
        outputs=[str(path) for path in outputs],
    )
