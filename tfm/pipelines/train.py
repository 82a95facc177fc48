"""Train a classification model and predict validation and test with its best checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tfm.analysis.predictions import make_table, save_predictions
from tfm.commands.train import Train
from tfm.core.events import Event, Note, Result
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.models.model_spec import ClassifierSpec
from tfm.models.model_summary import build_card, count_parameters, describe_weights
from tfm.models.normalisation import Normalisation
from tfm.training.batch_size import settle_batch_size
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import prepare_device, warn_about_memory
from tfm.training.fit_lesion_guided import fit_first_heads, fit_lesion_guided
from tfm.training.fit_linear_classifier import fit_linear_probe
from tfm.training.gpu_cache import keep_arrays_on_gpu
from tfm.training.inference import compute_probabilities, predict_logits
from tfm.training.inputs.check_lesion_masks import check_any_lesion, count_mask_pixels, select_known_lesions
from tfm.training.inputs.images_seen import remember_images_seen
from tfm.training.inputs.samples import Samples, check_learnable, keep_labels
from tfm.training.inputs.starting_point import SourceRun, find_exported_weights, find_weights_source
from tfm.training.inputs.training_data import TrainingData, choose_normalisation, open_sources
from tfm.training.loop import run_training
from tfm.training.recipe import DataSpec, TrainingRecipe
from tfm.training.state import Training
from tfm.training.tasks.breast_aware_classification import describe_missing_terms
from tfm.training.tasks.task_spec import ClassificationSpec
from tfm.training.tiles import get_input_size


def open_training_data(settings: Train, workspace: Workspace) -> TrainingData:
    data = TrainingData.open(workspace, settings.dataset, settings.cache, settings.fold)
    check_learnable(data.train, data.val, data.test)
    return replace(data, train=keep_labels(data.train, settings.labels, settings.seed))


def make_recipe(
    settings: Train,
    cache: Cache,
    train: Samples,
    val: Samples,
    normalisation: Normalisation = Normalisation(),  # noqa: B008
    weights: Path | None = None,
) -> TrainingRecipe:
    balance = settings.batches.balance
    return TrainingRecipe(
        model=ClassifierSpec(
            settings=settings.model,
            in_size=get_input_size(settings.lesions.tile, cache),
            weights=weights,
            colours=normalisation.colours,
        ),
        task=ClassificationSpec(
            label_smoothing=settings.optim.label_smoothing,
            weigh_classes=balance == "weights",
            breast=settings.breast,
            labels=settings.labels,
            two_views=settings.two_views,
            lesions=settings.lesions if settings.model.stride and settings.model.trained != "none" else None,
        ),
        batches=settings.batches,
        optimizer=settings.optim,
        machine=settings.machine,
        seed=settings.seed,
        data=DataSpec.of(cache, train, val, normalisation, balanced=balance == "sampling"),
    )


def check_settings(settings: Train, workspace: Workspace) -> None:
    """Check settings before an expensive step: raise the errors that training would raise later."""
    data = open_training_data(settings, workspace)
    find_weights_source(workspace, settings.model.weights, data.val, data.test)
    find_exported_weights(workspace, settings.model.weights, data.val, data.test)
    make_recipe(settings, data.cache, data.train, data.val).check()


def train(settings: Train, run: Run) -> Iterator[Event]:
    data = open_training_data(settings, run.workspace)
    if settings.model.stride:
        yield from _check_masks(data)
    sources = yield from open_sources(run, data, settings.model, settings.extends, settings.study)
    normalisation = yield from choose_normalisation(run, data, settings.model, sources)
    yield from remember_images_seen(run, data)
    recipe = make_recipe(settings, data.cache, data.train, data.val, normalisation, sources.weights)
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(settings.machine, run, held)
        yield from _train_and_predict(settings, run, data, recipe, device, sources.extended)


def _train_and_predict(
    settings: Train,
    run: Run,
    data: TrainingData,
    recipe: TrainingRecipe,
    device: torch.device,
    extended: SourceRun | None,
) -> Iterator[Event]:
    """Everything in the device's memory belongs to this function, so that it is freed when this function ends."""
    training = yield from fit(settings, run, data, recipe, device, extended)
    yield from _predict(settings, run, training, data.test)


def fit(
    settings: Train,
    run: Run,
    data: TrainingData,
    recipe: TrainingRecipe,
    device: torch.device,
    extended: SourceRun | None = None,
) -> Generator[Event, None, Training]:
    """Train, and return the training with its best checkpoint."""
    training = recipe.build(device)
    yield from keep_arrays_on_gpu(training)
    yield from settle_batch_size(run, training, extended)
    yield from _describe_model(settings, training)
    yield Note(
        f"{len(data.train)} images for training, {len(data.val)} for validation, {len(data.test)} for testing; {device}"
    )
    checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key)
    if settings.model.trained == "none":
        regress = fit_lesion_guided if settings.model.stride else fit_linear_probe
        yield from regress(training, checkpoints, run.metrics_file, run.checkpoints_folder)
    else:
        is_new = not extended and checkpoints.load_newest()[0] is None
        if settings.model.stride and settings.lesions.fit_heads and not settings.lesions.tile and is_new:
            yield from fit_first_heads(training, checkpoints, run.checkpoints_folder)
        yield from run_training(training, checkpoints, run.metrics_file, extended)
    training.evaluated_network.load_state_dict(checkpoints.load_best()["network"])
    return training


def _check_masks(data: TrainingData) -> Iterator[Event]:
    """Check the lesion masks of the training images; count the images that these do not help."""
    pixels = count_mask_pixels(data.dataset, data.cache, select_known_lesions(data.dataset, data.train))
    check_any_lesion("training", pixels)
    missing = len(data.train) - int(pixels[:, 1:].any(1).sum())
    if missing:
        yield Note(
            f"{missing} of the {len(data.train)} training images show no lesion in a mask: they teach the pooled "
            "features alone",
            "warning",
        )


def _describe_model(settings: Train, training: Training) -> Iterator[Event]:
    """Report the model's size before the first step, and images for which a loss term has no effect."""
    height, width = training.train.cache.images.shape[1:]
    model, images_at_once = training.recipe.model, training.batch_size * (2 if settings.two_views else 1)
    card = build_card(settings.model, model.in_size, images_at_once, model.colours)
    card = replace(card, batch_size=training.batch_size)
    tiles = f" in tiles of {settings.lesions.tile}" if settings.lesions.tile else ""
    layer = f"it can be explained at its layer {card.explanation_layer} ({card.layout})"
    yield Note(
        f"{card.describe_size()}; images of {height} × {width}{tiles}; "
        f"{layer if card.layout else 'no layer is known to explain it with'}"
    )
    yield from warn_about_memory(card.memory, training.device)
    for sentence in describe_missing_terms(settings.breast, training.train):
        yield Note(sentence, "warning")
    if settings.two_views:
        samples = training.train.samples
        alone = int((samples.other_views == np.arange(len(samples))).sum())
        yield Note(f"{alone} of the {len(samples)} training images have no other view: they are classified alone")


def predict_samples(
    settings: Train, training: Training, samples: Samples, words: str
) -> Generator[Event, None, pd.DataFrame]:
    """Predict with the best checkpoint, as the table of a predictions file."""
    outputs = yield from predict_logits(
        training.task,
        training.evaluated_network,
        replace(training.val, samples=samples),
        training.batch_size,
        f"predicting {words}",
        precision=training.precision,
        tta=settings.tta,
    )
    return make_table(samples, compute_probabilities(outputs))


def _predict(settings: Train, run: Run, training: Training, test: Samples) -> Iterator[Event]:
    """A trial of a study predicts nothing on the test set."""
    tables = {"val": (yield from predict_samples(settings, training, training.val.samples, "validation"))}
    if not settings.trial:
        tables["test"] = yield from predict_samples(settings, training, test, "test")
    best = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key).best
    files = [*(run.predictions_file(split) for split in tables), best, run.metrics_file]
    model, result = run.read_preset() or settings.model.architecture, save_predictions(run, tables, settings.threshold)
    yield Result(
        {
            "model": model,
            "weights": describe_weights(settings.model.weights, run.read_environment()["origin_unknown"]),
            "parameters": count_parameters(training.network),
            "epochs": training.state.epoch,
            **result,
        },
        outputs=[str(path) for path in files],
        summary=f"{model} is trained. Its validation AUC is {result['val_auc']:.3f}.",
    )
