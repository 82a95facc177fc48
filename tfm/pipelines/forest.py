"""Fit a classifier to the embeddings of a trained model."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from tfm.analysis.embedding_projection import project_embeddings
from tfm.analysis.figures.embeddings import draw_embeddings
from tfm.analysis.figures.style import save_figure
from tfm.analysis.predictions import make_table, read_predictions, save_predictions
from tfm.analysis.trained_run import build_protocol, open_trained_model, read_dataset_facts
from tfm.commands.forest import Forest
from tfm.commands.train import Train
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Picture, Result
from tfm.core.runs.lookup import find_run
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.models.model_summary import count_parameters, describe_weights
from tfm.pipelines.train import open_training_data
from tfm.training.device import prepare_device
from tfm.training.embedding_classifier import (
    Learner,
    check_memory,
    fit_learner,
    load_learner,
    predict_probabilities,
    save_learner,
)
from tfm.training.embedding_classifier import count_parameters as count_learner_parameters
from tfm.training.embeddings import Backbone, Embeddings, extract_embeddings
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.inputs.starting_point import SourceRun, check_unchanged
from tfm.training.inputs.training_data import TrainingData, remember_inputs

_SHORT = {"forest": "RF", "logistic": "LR", "boosting": "GB"}


def train_forest(settings: Forest, run: Run) -> Iterator[Event]:
    source = SourceRun(find_run(run.workspace, settings.backbone))
    backbone = open_trained_model(source.run)
    trained = load_settings(source.run)
    assert isinstance(trained, Train)
    if trained.breast.pooling == "breast":
        raise SettingsError(
            f"the model of {source.run.id} averages its features over the breast, but embeddings are averages over the "
            "whole image",
            hint=f"choose a run that was trained with {hints.setting('pooling', 'average')}",
            fields=("backbone",),
        )
    if trained.two_views:
        raise SettingsError(
            f"the model of {source.run.id} classifies two views together, but embeddings are those of one image",
            hint=f"choose a run that was trained with {hints.setting('two_views', False)}",
            fields=("backbone",),
        )
    data = open_training_data(trained, run.workspace)
    labelled = data.train.select(data.train.labels != UNKNOWN)
    check_memory(settings.learning, len(labelled))
    facts = yield from data.collect_facts()
    check_unchanged(source, facts)
    if len(labelled) < len(data.train):
        data = replace(data, train=labelled)
        facts = yield from data.collect_facts()
    run.save_facts(origin_unknown=source.read_unknown_origins(), backbone=backbone.run, minutes_before=backbone.minutes)
    remember_inputs(run, data, facts, source.open_checkpoints().best, [source])
    with contextlib.ExitStack() as held:  # only the backbone needs the GPU
        device = yield from prepare_device(settings.machine, run, held)
        embeddings = yield from _extract(settings, trained, run, source, data, device)
    yield Note(f"{embeddings['train'].shape[1]} features for each of {len(data.train)} training images")
    learner = yield from _train(settings, run, data, embeddings)
    learning = settings.learning
    # The classifier replaces the head in the name: ResNet50_Head and a forest are ResNet50_RF.
    name = f"{backbone.model.removesuffix('_Head')}_{_SHORT[learning.learner]}"
    name += "" if learning.embedding == "pool2048" else f" ({learning.embedding})"
    yield from _predict(settings, trained, run, data, name, embeddings, learner)


def _extract(
    settings: Forest, trained: Train, run: Run, source: SourceRun, data: TrainingData, device: torch.device
) -> Generator[Event, None, Embeddings]:
    """Everything in the device's memory belongs to this function, so that it is freed when this function ends."""
    in_size = data.cache.images.shape[1:]
    backbone = Backbone.open(source, trained.model, settings.learning.embedding, in_size, trained.machine.precision)
    run.save_facts(backbone_parameters=count_parameters(backbone.network) - count_parameters(backbone.part))
    folder, facts = run.workspace.embeddings_folder, run.read_environment()
    return (yield from extract_embeddings(folder, backbone, data, facts, device, run.id))


def _train(settings: Forest, run: Run, data: TrainingData, embeddings: Embeddings) -> Generator[Event, None, Learner]:
    """Train a classifier unless the run already has one; load it from its file."""
    file = get_learner_file(run)
    if not file.exists():
        threads = run.read_environment()["threads"]
        learner = yield from fit_learner(
            settings.learning, embeddings["train"], data.train.labels, settings.seed, threads
        )
        save_learner(learner, file)
        del learner  # not to have two in memory
    return load_learner(file, embeddings["train"].shape[1])


def get_learner_file(run: Run) -> Path:
    return run.checkpoints_folder / "learner.skops"


def _predict(
    settings: Forest,
    trained: Train,
    run: Run,
    data: TrainingData,
    model: str,
    embeddings: Embeddings,
    learner: Learner,
) -> Iterator[Event]:
    val, test = (
        make_table(getattr(data, split), predict_probabilities(learner, embeddings[split])) for split in ("val", "test")
    )
    result = save_predictions(run, {"val": val, "test": test}, trained.threshold)
    projected = project_embeddings(embeddings, data, settings.projection, settings.seed)
    title = f"Embeddings that {model} is trained on: {settings.learning.embedding}"
    saved = read_predictions(run.predictions_file("test"))
    protocol = build_protocol(read_dataset_facts(run), saved, trained.threshold)
    caption = protocol.describe_with_dataset(projected.caption)
    figures = save_figure(draw_embeddings(projected, title), run.figures_folder, "embeddings", caption)
    yield Picture(str(figures[0]), title)
    result |= {
        "model": model,
        "weights": describe_weights(trained.model.weights, run.read_environment()["origin_unknown"]),
        "parameters": run.read_environment()["backbone_parameters"] + count_learner_parameters(learner),
    }
    outputs = [run.predictions_file("val"), run.predictions_file("test"), get_learner_file(run), *figures]
    summary = f"{model} is trained. Its validation AUC is {result['val_auc']:.3f}."
    yield Result(result, [str(path) for path in outputs], summary)
