"""Fit a classifier to the embeddings of a trained model."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from tfm.analysis.embedding_projection import project_embeddings
from tfm.analysis.figures import draw_embeddings
from tfm.analysis.predictions import make_table, read_predictions, save_predictions
from tfm.analysis.trained_run import build_protocol, open_trained_model
from tfm.commands.forest import Forest
from tfm.commands.train import Train
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Picture, Result
from tfm.core.runs.command_settings import load_settings
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.models.model_card import count_parameters, describe_weights
from tfm.pipelines.train import arranged
from tfm.training.device import prepare
from tfm.training.embedding_classifier import Learner, check_memory, grown, load, probabilities, save, size
from tfm.training.embeddings import Backbone, Found, embeddings
from tfm.training.inputs.lineage import Origin, check_same
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.inputs.training_data import Material, remember

_SHORT = {"forest": "RF", "logistic": "LR", "boosting": "GB"}


def train_forest(settings: Forest, run: Run) -> Iterator[Event]:
    origin = Origin(find_run(run.workspace, settings.backbone))
    backbone = open_trained_model(origin.run)
    trained = load_settings(origin.run)
    assert isinstance(trained, Train)
    if trained.breast.pooling == "breast":
        raise SettingsError(
            f"the network of {origin.run.id} has learned from the average over the breast, and embeddings are that "
            "over the whole image",
            hint=f"choose a run that was trained with {hints.setting('pooling', 'average')}",
            fields=("backbone",),
        )
    material = arranged(trained, run.workspace)
    learned = material.train.only(material.train.labels != UNKNOWN)
    check_memory(settings.learning, len(learned))
    facts = yield from material.facts()
    check_same(origin, facts)
    if len(learned) < len(material.train):
        material = replace(material, train=learned)
        facts = yield from material.facts()
    run.save_facts(origin_unknown=origin.unknown, backbone=backbone.run, minutes_before=backbone.minutes)
    remember(run, material, facts, origin.checkpoints.best, [origin])
    found = yield from _seen(settings, trained, run, origin, material)
    learner = yield from _learned(settings, run, material, found)
    yield from _finish(settings, trained, run, material, _name(settings, backbone.model), found, learner)


def _seen(
    settings: Forest, trained: Train, run: Run, origin: Origin, material: Material
) -> Generator[Event, None, Found]:
    with contextlib.ExitStack() as held:  # only the network needs a GPU, and leaves it before the turn ends
        device = yield from prepare(settings.machine, run, held)
        found = yield from _embedded(settings, trained, run, origin, material, device)
    yield Note(f"{found['train'].shape[1]} numbers of each of {len(material.train)} images to learn from")
    return found


def _embedded(
    settings: Forest, trained: Train, run: Run, origin: Origin, material: Material, device: torch.device
) -> Generator[Event, None, Found]:
    in_size = material.cache.images.shape[1:]
    backbone = Backbone.of(origin, trained.model, settings.learning.embedding, in_size, trained.machine.precision)
    run.save_facts(backbone_parameters=count_parameters(backbone.network) - count_parameters(backbone.part))
    place = run.workspace.embeddings_folder
    return (yield from embeddings(place, backbone, material, run.read_environment(), device, run.id))


def _learned(settings: Forest, run: Run, material: Material, found: Found) -> Generator[Event, None, Learner]:
    """As it stands on disk: what was grown before a kill is not grown again."""
    file = _file(run)
    if not file.exists():
        threads = run.read_environment()["threads"]
        learner = yield from grown(settings.learning, found["train"], material.train.labels, settings.seed, threads)
        save(learner, file)
        del learner  # with it, what is read would be in memory twice
    return load(file, found["train"].shape[1])


def _file(run: Run) -> Path:
    return run.checkpoints_folder / "learner.skops"


def _finish(
    settings: Forest, trained: Train, run: Run, material: Material, model: str, found: Found, learner: Learner
) -> Iterator[Event]:
    val, test = (
        make_table(getattr(material, split), probabilities(learner, found[split])) for split in ("val", "test")
    )
    result = save_predictions(run, {"val": val, "test": test}, trained.threshold)
    picture = yield from _drawn(settings, trained, run, material, found, model)
    result |= {
        "model": model,
        "weights": describe_weights(trained.model.weights, run.read_environment()["origin_unknown"]),
        "parameters": run.read_environment()["backbone_parameters"] + size(learner),
    }
    outputs = [run.predictions_file("val"), run.predictions_file("test"), _file(run), picture]
    yield Result(result, outputs=[str(path) for path in outputs])


def _name(settings: Forest, backbone: str) -> str:
    """The learner stands in the head's place: ResNet50_Head and a forest are ResNet50_RF."""
    learning = settings.learning
    place = "" if learning.embedding == "pool2048" else f" ({learning.embedding})"
    return f"{backbone.removesuffix('_Head')}_{_SHORT[learning.learner]}{place}"


def _drawn(
    settings: Forest, trained: Train, run: Run, material: Material, found: Found, model: str
) -> Generator[Event, None, Path]:
    path = run.figures_folder / "embeddings.png"
    projected = project_embeddings(found, material, settings.projection, settings.seed)
    test = read_predictions(run.predictions_file("test"))
    title = f"What {model} learns from: {settings.learning.embedding}"
    draw_embeddings(path, projected, title, build_protocol(run.read_environment(), test, trained.threshold))
    yield Picture(str(path), title)
    return path
