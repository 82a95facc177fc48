"""Train and evaluate a segmentation model."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tfm.analysis.format_intervals import format_interval
from tfm.analysis.lesions.evaluation import collect_cases, describe_protocol, evaluate_lesions, predict_lesions
from tfm.analysis.lesions.overlays import draw_overlays
from tfm.analysis.predictions import make_table, save_predictions
from tfm.analysis.trained_run import build_protocol, read_dataset_facts
from tfm.commands.segment import Segment
from tfm.core import files
from tfm.core.events import Event, Note, Picture, Result, Table
from tfm.core.runs.run import Run
from tfm.data.cache.cache import Cache
from tfm.data.dataset.lesion_classes import CLASS_SETS
from tfm.models.model_spec import SegmenterSpec
from tfm.models.model_summary import build_card_of_network, count_parameters, describe_weights
from tfm.models.normalisation import Normalisation
from tfm.training.batch_size import settle_batch_size
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import prepare_device, warn_about_memory
from tfm.training.gpu_cache import keep_arrays_on_gpu
from tfm.training.inputs.check_lesion_masks import (
    check_any_lesion,
    check_enough_known_lesions,
    count_mask_pixels,
    has_known_lesions,
    select_known_lesions,
)
from tfm.training.inputs.samples import Samples, check_learnable
from tfm.training.inputs.starting_point import SourceRun
from tfm.training.inputs.training_data import TrainingData, choose_normalisation, open_sources
from tfm.training.loop import run_training
from tfm.training.recipe import DataSpec, TrainingRecipe
from tfm.training.state import Training
from tfm.training.tasks.segmentation import Segmentation
from tfm.training.tasks.task_spec import SegmentationSpec
from tfm.training.tiles import get_input_size

_CAPTION = (
    "Dice, IoU and area error: mean over the images with such a lesion. Found: share of lesions that a peak of the map "
    "marks, at 0.5, 1 and 2 false alarms per image. Specificity: share of the images without such a lesion in which "
    "none is predicted. The brightest blob has the median lesion area of validation."
)


def make_recipe(
    settings: Segment,
    cache: Cache,
    train: Samples,
    val: Samples,
    normalisation: Normalisation,
    pixels: np.ndarray,
    weights: Path | None = None,
) -> TrainingRecipe:
    """`train` and `val` have known lesions; `pixels` counts each mask value in the training images."""
    return TrainingRecipe(
        model=SegmenterSpec(
            settings=settings.model,
            classes=CLASS_SETS[settings.lesions.classes].names,
            in_size=get_input_size(settings.lesions.tile, cache),
            weights=weights,
            colours=normalisation.colours,
        ),
        task=SegmentationSpec(
            settings=settings.lesions, label_smoothing=settings.optim.label_smoothing, pixels=tuple(pixels.tolist())
        ),
        batches=settings.batches,
        optimizer=settings.optim,
        machine=settings.machine,
        seed=settings.seed,
        data=DataSpec.of(cache, train, val, normalisation, balanced=settings.batches.balance == "sampling"),
    )


def segment(settings: Segment, run: Run) -> Iterator[Event]:
    data = TrainingData.open(run.workspace, settings.dataset, settings.cache, settings.fold)
    check_learnable(data.train, data.val, data.test)
    train, val = (select_known_lesions(data.dataset, samples) for samples in (data.train, data.val))
    pixels = yield from _count_training_pixels(data)
    check_enough_known_lesions(train, settings.batches.balance)
    sources = yield from open_sources(run, data, settings.model.classifier, settings.extends)
    normalisation = yield from choose_normalisation(run, replace(data, train=train), settings.model.classifier, sources)
    recipe = make_recipe(settings, data.cache, train, val, normalisation, pixels, sources.weights)
    with contextlib.ExitStack() as held:
        device = yield from prepare_device(settings.machine, run, held)
        yield from _train_and_evaluate(settings, run, data, recipe, device, sources.extended)


def _count_training_pixels(data: TrainingData) -> Generator[Event, None, np.ndarray]:
    """Count each value in the training masks; report images without a mask and very small lesions."""
    in_training = np.zeros(0)
    sentences = []
    for name, samples in (("training", data.train), ("validation", data.val), ("test", data.test)):
        pixels = count_mask_pixels(data.dataset, data.cache, select_known_lesions(data.dataset, samples))
        check_any_lesion(name, pixels)
        if name == "training":
            in_training = pixels.sum(axis=0)
        without = int((pixels[:, 1:].sum(axis=1) == 0).sum())
        sentences.append(f"{len(pixels)} {name} images, {without} without a lesion")
        unknown = int((~has_known_lesions(data.dataset, samples)).sum())
        if unknown:
            yield Note(f"{unknown} {name} images have no lesion mask: segmentation skips them", "warning")
    yield Note("; ".join(sentences))
    records = data.cache.read_records(data.dataset.manifest["image_id"]).values()
    small = [record["lesions_below_a_pixel"] for record in records if "lesions_below_a_pixel" in record]
    if small:
        yield Note(
            f"{sum(small)} lesions in {len(small)} images are smaller than a pixel: each is enlarged to one pixel "
            "where possible"
        )
    return in_training


def _train_and_evaluate(
    settings: Segment,
    run: Run,
    data: TrainingData,
    recipe: TrainingRecipe,
    device: torch.device,
    extended: SourceRun | None,
) -> Iterator[Event]:
    """Everything in the device's memory belongs to this function, so that it is freed when this function ends."""
    training = recipe.build(device)
    yield from keep_arrays_on_gpu(training)
    yield from settle_batch_size(run, training, extended)
    yield from _describe_model(settings, training)
    checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key)
    yield from run_training(training, checkpoints, run.metrics_file, extended)
    training.evaluated_network.load_state_dict(checkpoints.load_best()["network"])
    yield from _evaluate(settings, run, training, data, checkpoints.best)


def _describe_model(settings: Segment, training: Training) -> Iterator[Event]:
    model = training.recipe.model
    height, width = training.train.cache.images.shape[1:]
    with torch.device("meta"):
        network = model.without_weights().build()
    card = build_card_of_network(network, model.in_size, training.batch_size)
    tiles = f" in tiles of {model.in_size[0]}" if settings.lesions.tile else ""
    yield Note(
        f"{card.describe_size()}; images of {height} × {width}{tiles}; "
        f"classes: {', '.join(CLASS_SETS[settings.lesions.classes].names)}"
    )
    yield from warn_about_memory(card.memory, training.device)


def _evaluate(settings: Segment, run: Run, training: Training, data: TrainingData, best: Path) -> Iterator[Event]:
    """Predict, choose thresholds on validation, and compare the test predictions with the masks."""
    task = training.task
    assert isinstance(task, Segmentation)
    predicted, tables, known = {}, {}, {}
    for split, words, samples in (("val", "validation", data.val), ("test", "test", data.test)):
        images = replace(training.val, samples=samples)
        known[split] = has_known_lesions(data.dataset, samples)
        predicted[split] = yield from predict_lesions(training, task, images, f"predicting {words}")
        tables[split] = make_table(samples, predicted[split].scores)
    test = replace(training.val, samples=data.test.select(known["test"]))
    evaluation = yield from evaluate_lesions(
        task, predicted["val"].select(known["val"]), predicted["test"].select(known["test"]), test
    )
    protocol = describe_protocol(
        build_protocol(read_dataset_facts(run), tables["test"][known["test"]], settings.threshold)
    )
    figures, overlays = run.folder / "lesions.json", run.figures_folder / "overlays.png"
    files.write_json(figures, evaluation.list_values() | {"protocol": protocol})
    yield Table("Lesions on the test images", evaluation.columns, evaluation.format_rows(), f"{protocol}. {_CAPTION}")
    draw_overlays(overlays, collect_cases(training, task, test, evaluation), protocol)
    yield Picture(str(overlays), "Best, median and worst lesion masks, beside the true ones")
    outputs = [run.predictions_file("val"), run.predictions_file("test"), best, run.metrics_file, figures, overlays]
    dice = evaluation.overall.dice
    yield Result(
        {
            # The meaning of the score depends on the classes.
            "model": f"{run.read_preset() or 'DeepLabV3+'}, {settings.lesions.classes}",
            "weights": describe_weights(settings.model.weights, run.read_environment()["origin_unknown"]),
            "parameters": count_parameters(training.network),
            "epochs": training.state.epoch,
            **save_predictions(run, tables, settings.threshold),
            **dice.flatten("dice"),
        },
        outputs=[str(path) for path in outputs],
        summary=f"The masks overlap the true ones with a Dice score of {format_interval(dice)} on the test images.",
    )
