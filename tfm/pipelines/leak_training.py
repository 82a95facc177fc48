"""Train a model of the leak lab. Its split is never written to a dataset, and its weights are deleted at its end."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from tfm.analysis.predictions import write_predictions
from tfm.analysis.threshold import choose_threshold
from tfm.commands.leak_lab import LeakLab
from tfm.commands.leak_training import LeakTraining
from tfm.commands.train import Train
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Result
from tfm.core.runs.resolve_command_settings import resolve_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.serialize import dump_plain_values
from tfm.pipelines.train import fit, make_recipe, open_training_data, predict_samples
from tfm.training.device import prepare_device
from tfm.training.inputs.leaky_splits import LeakySplit, split_for_leak_lab
from tfm.training.inputs.samples import check_learnable
from tfm.training.inputs.training_data import TrainingData, choose_normalisation, open_sources
from tfm.training.recipe import TrainingRecipe
from tfm.training.refuse_leak_lab import LEAK_LAB


def resolve_training(settings: LeakTraining | LeakLab, workspace: Workspace) -> Train:
    """Return the settings of the training. Refuse models whose copies of an image would be equal or have no mask."""
    given: dict[str, Any] = {"dataset": settings.dataset, "cache": settings.cache, "seed": settings.seed}
    given |= {"machine": dump_plain_values(settings.machine)}
    given |= {name: value for name in ("epochs", "weights") if (value := getattr(settings, name)) != "preset"}
    train = resolve_settings(workspace, "train", given, workspace.load_preset("models", settings.model))
    assert isinstance(train, Train)
    reasons = {
        "is a regression on frozen features, which has no epochs and augments nothing": train.model.trained == "none",
        "trains without augmentation": not train.batches.augmentation.augment,
        "learns from lesion masks, which copies of an image do not have": bool(train.model.stride),
        "leaves some labels out": train.labels.label_percent < 100,
    }
    for reason, applies in reasons.items():
        if applies:
            raise SettingsError(
                f"{settings.model} {reason}, so the leak lab cannot use it",
                hint="choose a model that is trained with augmentation, such as ResNet18_CFT or MammoCNN",
                fields=("model",),
            )
    return train.model_copy(update={"optim": train.optim.model_copy(update={"patience": None})})


def train_leak(settings: LeakTraining, run: Run) -> Iterator[Event]:
    train = resolve_training(settings, run.workspace)
    data = open_training_data(train, run.workspace)
    split = split_for_leak_lab(data, settings.way, settings.seed)
    check_learnable(split.train, split.val, split.claimed)
    used = replace(data, train=split.train, val=split.val, test=split.claimed)
    run.save_facts(**{LEAK_LAB: settings.way})
    yield Note(
        f"leak lab, {settings.way}: what this run claims may be wrong on purpose, so it can be used nowhere else",
        "warning",
    )
    unseen = replace(data, val=split.claimed, test=split.outside)
    sources = yield from open_sources(run, used, train.model, evaluated_on=unseen)
    normalisation = yield from choose_normalisation(run, used, train.model, sources)
    recipe = make_recipe(train, data.cache, split.train, split.val, normalisation, sources.weights)
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(train.machine, run, held)
        yield from _train_and_claim(settings, train, run, used, split, recipe, device)


def _train_and_claim(
    settings: LeakTraining,
    train: Train,
    run: Run,
    data: TrainingData,
    split: LeakySplit,
    recipe: TrainingRecipe,
    device: torch.device,
) -> Iterator[Event]:
    training = yield from fit(train, run, data, recipe, device)
    validation = yield from predict_samples(train, training, split.val, "validation")
    paths = []
    for name, samples in (("claimed", split.claimed), ("outside", split.outside)):
        table = yield from predict_samples(train, training, samples, name)
        paths.append(run.predictions_file(name))
        write_predictions(paths[-1], table)
    labels, probs = (validation[column].to_numpy() for column in ("label", "prob"))
    shutil.rmtree(run.checkpoints_folder)
    yield Result(
        {
            "run": run.id,
            "model": settings.model,
            "way": settings.way,
            "epochs": training.state.epoch,
            "threshold": choose_threshold(train.threshold, labels, probs),
            "threshold_rule": train.threshold,
            "train_images": len(split.train),
        },
        outputs=[*map(str, paths), str(run.metrics_file)],
    )
