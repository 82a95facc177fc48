"""Train and evaluate a segmentation model."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tfm.analysis.lesions.evaluation import (
    LesionEvaluation,
    collect_cases,
    describe_protocol,
    evaluate_lesions,
    predict_lesions,
)
from tfm.analysis.lesions.overlays import draw_overlays
from tfm.analysis.predictions import make_table, save_predictions
from tfm.analysis.trained_run import build_protocol
from tfm.commands.segment import Segment
from tfm.core import files
from tfm.core.events import Event, Note, Picture, Result, Table
from tfm.core.randomness import seed_at
from tfm.core.runs.run import Run
from tfm.models.deeplab import Segmenter, build_segmenter, load_segmenter
from tfm.models.model_card import build_card_of_network, count_parameters, describe_weights
from tfm.training import batch_size, gpu_cache
from tfm.training.batches import Images, Normalisation
from tfm.training.checkpoint import Checkpoints
from tfm.training.device import prepare
from tfm.training.distributed.main_process import learn
from tfm.training.inputs.lesion_masks import are_known, check_known, check_lesions, known, mask_pixels
from tfm.training.inputs.samples import check_learnable
from tfm.training.inputs.training_data import Material, Start, measured, start
from tfm.training.recipe import set_up
from tfm.training.settings import (
    BatchSettings,
)
from tfm.training.state import Training
from tfm.training.tasks.segmentation import Segment as SegmentTask
from tfm.training.tasks.segmentation import segment as segment_task
from tfm.training.tiles import seen_at_once


def segment(settings: Segment, run: Run) -> Iterator[Event]:
    material = Material.open(run.workspace, settings.dataset, settings.cache, settings.fold)
    check_learnable(material.train, material.val, material.test)
    train = known(material.dataset, material.train)
    pixels = yield from _looked_at(material)
    check_known(train, settings.batches.balance)
    begun = yield from start(run, material, settings.model.classifier, settings.extends)
    normalisation = yield from measured(run, material.cache, train)
    with contextlib.ExitStack() as held:
        device = yield from prepare(settings.machine, run, held)
        yield from _trained(settings, run, material, begun, pixels, normalisation, device)


def _trained(
    settings: Segment,
    run: Run,
    material: Material,
    begun: Start,
    pixels: np.ndarray,
    normalisation: Normalisation,
    device: torch.device,
) -> Iterator[Event]:
    """From the network's first weights to its predictions: all that lies on the device is known here alone."""
    learned_from = len(known(material.dataset, material.train))
    task = segment_task(settings.lesions, settings.optim, pixels, learned_from)
    seen = seen_at_once(settings.lesions.tile, material.cache)
    network = functools.partial(build_segmenter, settings.model, task.classes.names, seen)
    training = _set_up(settings, material, network, begun.weights, task, normalisation, device)
    yield from gpu_cache.settle(training)
    yield from batch_size.settle(run, training, begun.before)
    yield _introduced(settings, task, network, seen, training)
    checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds, run.read_status().key)
    yield from learn(training, network, settings.machine, checkpoints, run.metrics_file, begun.before)
    training.judged.load_state_dict(checkpoints.load_best()["network"])
    yield from _finish(settings, run, training, task, material, checkpoints.best)


def _looked_at(material: Material) -> Generator[Event, None, np.ndarray]:
    """The pixels of each value in the training masks; what a person should know of the masks is said."""
    splits = {"training": material.train, "validation": material.val, "test": material.test}
    held: dict[str, np.ndarray] = {}
    said = []
    for name, rows in splits.items():
        pixels = mask_pixels(material.dataset, material.cache, known(material.dataset, rows))
        check_lesions(name, pixels)
        held[name] = pixels.sum(axis=0)
        unknown = int((~are_known(material.dataset, rows)).sum())
        said.append(f"{len(pixels)} {name} images, {int((pixels[:, 1:].sum(axis=1) == 0).sum())} without a lesion")
        if unknown:
            yield Note(f"{unknown} {name} images have no lesion mask: no mask is learned or measured there", "warning")
    yield Note("; ".join(said))
    records = material.cache.read_records(material.dataset.manifest["image_id"]).values()
    small = [record["lesions_below_a_pixel"] for record in records if "lesions_below_a_pixel" in record]
    if small:
        lesions = f"{sum(small)} lesions of {len(small)} images are smaller than a pixel"
        yield Note(f"{lesions}: each is kept as one, where there was room")
    return held["training"]


def _set_up(
    settings: Segment,
    material: Material,
    build: Callable[[], Segmenter],
    weights: Path | None,
    task: SegmentTask,
    normalisation: Normalisation,
    device: torch.device,
) -> Training:
    torch.manual_seed(seed_at(settings.seed, "weights") % 2**63)
    network = build()
    if weights is not None:
        load_segmenter(network, settings.model, weights)
    return set_up(
        network,
        task,
        BatchSettings(**dict(settings.batches)),
        settings.optim,
        settings.machine,
        seed=settings.seed,
        cache=material.cache,
        train=known(material.dataset, material.train),
        val=known(material.dataset, material.val),
        normalisation=normalisation,
        device=device,
    )


def _introduced(
    settings: Segment, task: SegmentTask, build: Callable[[], Segmenter], seen: tuple[int, int], training: Training
) -> Note:
    """How large the network is, before it takes its first step."""
    cache = training.train.cache
    with torch.device("meta"):
        network = build()
    card = build_card_of_network(network, seen, training.batch_size)
    squares = f" in squares of {seen[0]}" if settings.lesions.tile else ""
    return Note(
        f"{card.parameters:,} parameters, {card.trained:,} of them trained; images of {cache.images.shape[1]} × "
        f"{cache.images.shape[2]}{squares}; ≈ {card.memory / 2**30:.1f} GiB for batches of {card.batch_size}; "
        f"tells apart {', '.join(task.classes.names)}"
    )


def _finish(
    settings: Segment, run: Run, training: Training, task: SegmentTask, material: Material, best: Path
) -> Iterator[Event]:
    """The last step: probabilities, thresholds chosen on validation, and what the masks of the test are worth."""
    said, tables, known = {}, {}, {}
    for split, words, rows in (("val", "validation", material.val), ("test", "test", material.test)):
        images = replace(training.val, rows=rows)
        known[split] = are_known(material.dataset, rows)
        said[split] = yield from predict_lesions(training, task, images, f"predicting {words}")
        tables[split] = make_table(rows, said[split].scores)
    test = replace(training.val, rows=material.test.only(known["test"]))
    measured = yield from evaluate_lesions(
        task, said["val"].select(known["val"]), said["test"].select(known["test"]), test
    )
    protocol = describe_protocol(
        build_protocol(run.read_environment(), tables["test"][known["test"]], settings.threshold)
    )
    figures, overlays = run.folder / "lesions.json", run.figures_folder / "overlays.png"
    files.write_json(figures, measured.list_values() | {"protocol": protocol})
    yield _told(measured, protocol)
    yield from _drawn(training, task, test, measured, protocol, overlays)
    outputs = [run.predictions_file("val"), run.predictions_file("test"), best, run.metrics_file, figures, overlays]
    yield Result(
        {
            # What its score means hangs on the classes.
            "model": f"{run.read_preset() or 'DeepLabV3+'}, {settings.lesions.classes}",
            "weights": describe_weights(settings.model.weights, run.read_environment()["origin_unknown"]),
            "parameters": count_parameters(training.network),
            "epochs": training.standing.epoch,
            **save_predictions(run, tables, settings.threshold),
            **measured.overall.dice.flatten("dice"),
        },
        outputs=[str(path) for path in outputs],
    )


def _told(measured: LesionEvaluation, protocol: str) -> Table:
    caption = (
        f"{protocol}. Dice, IoU and area error: mean over the images with such a lesion. Found: share of lesions that "
        "a peak of the map marks, at 0.5, 1 and 2 false alarms per image. Specificity: share of the images without "
        "such a lesion in which none is predicted. The brightest blob has the median lesion area of validation."
    )
    return Table("Lesions on the test images", measured.columns, measured.format_rows(), caption)


def _drawn(
    training: Training, task: SegmentTask, test: Images, measured: LesionEvaluation, protocol: str, path: Path
) -> Iterator[Event]:
    draw_overlays(path, collect_cases(training, task, test, measured), protocol)
    yield Picture(str(path), "Best, median and worst lesion masks, with the truth")
