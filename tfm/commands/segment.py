"""Draw lesions pixel by pixel, and measure how well

DeepLabV3+ learns from the lesion masks. It ends with figures of the test images beside what knows nothing, with
pictures, and with a probability for each image, so that it can be compared with models that classify.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tfm.commands.train import folds
from tfm.core.events import Event, Note, Picture, Result, Table
from tfm.core.registry import Repeat, stage
from tfm.core.runs.run import Run
from tfm.core.settings.schema import CacheName, DatasetName, Input, Settings
from tfm.models.settings import SegmenterSettings
from tfm.training.settings import (
    DEFAULT_SEED,
    YOUDEN,
    BatchSettings,
    MachineSettings,
    OptimSettings,
    SegmentBatches,
    SegmentSettings,
    ThresholdRule,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from tfm.analysis.lesions.evaluation import LesionEvaluation
    from tfm.models.deeplab import Segmenter
    from tfm.training.batches import Images, Normalisation
    from tfm.training.inputs.training_data import Material, Start
    from tfm.training.state import Training
    from tfm.training.tasks.segmentation import Segment as SegmentTask


class Segment(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images and lesion masks to train on"""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    lesions: SegmentSettings = SegmentSettings()
    model: SegmenterSettings = SegmenterSettings()
    batches: SegmentBatches = SegmentBatches()
    optim: OptimSettings = OptimSettings()
    threshold: ThresholdRule = YOUDEN
    """How the threshold is chosen from which on an image is called malignant: youden or sensitivity:S
    On the validation images. youden: where sensitivity and specificity add up to most. sensitivity:0.9: as high as it
    can be while 90 of 100 malignant images are found; the share is yours to choose. From which probability on a pixel
    is drawn is chosen there too, for each class by Dice, on those images whose lesions are known."""
    seed: int = DEFAULT_SEED
    """Seed of everything random: first weights, order, augmentation, squares, dropout"""
    machine: MachineSettings = MachineSettings()
    extends: Annotated[str, Input("run", made_by=("segment",))] | None = None
    """The run that this one goes on from
    From its last checkpoint, with more epochs. The learning rate follows the curve of the new number of epochs, so it
    leaps up where the old run had come to the end of its own; patience begins anew."""


@stage(
    version=4,
    presets="models",
    default_preset="DeepLabV3Plus",
    extends_by="epochs",
    repeats=(Repeat("folds", "fold", folds), Repeat("seeds", "seed")),
)
def segment(settings: Segment, run: Run) -> Iterator[Event]:
    from tfm.training.device import prepare
    from tfm.training.inputs.lesion_masks import check_known, known
    from tfm.training.inputs.samples import check_learnable
    from tfm.training.inputs.training_data import Material, measured, start

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
    from tfm.models.deeplab import build_segmenter
    from tfm.training import batch_size, gpu_cache
    from tfm.training.checkpoint import Checkpoints
    from tfm.training.distributed.main_process import learn
    from tfm.training.inputs.lesion_masks import known
    from tfm.training.tasks.segmentation import segment as segment_task
    from tfm.training.tiles import seen_at_once

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
    from tfm.training.inputs.lesion_masks import are_known, check_lesions, known, mask_pixels

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
    import torch

    from tfm.core.randomness import seed_at
    from tfm.models.deeplab import load_segmenter
    from tfm.training.inputs.lesion_masks import known
    from tfm.training.recipe import set_up

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
    import torch

    from tfm.models.model_card import build_card_of_network

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
    from tfm.analysis.lesions.evaluation import describe_protocol, evaluate_lesions, predict_lesions
    from tfm.analysis.predictions import make_table, save_predictions
    from tfm.analysis.trained_run import build_protocol
    from tfm.core import files
    from tfm.models.model_card import count_parameters, describe_weights
    from tfm.training.inputs.lesion_masks import are_known

    said, tables, known = {}, {}, {}
    for split, words, rows in (("val", "validation", material.val), ("test", "test", material.test)):
        images = replace(training.val, rows=rows)
        known[split] = are_known(material.dataset, rows)
        said[split] = yield from predict_lesions(training, task, images, f"predicting {words}")
        tables[split] = make_table(rows, said[split].scores)
    test = replace(training.val, rows=material.test.only(known["test"]))
    measured = yield from evaluate_lesions(task, said["val"].of(known["val"]), said["test"].of(known["test"]), test)
    protocol = describe_protocol(
        build_protocol(run.read_environment(), tables["test"][known["test"]], settings.threshold)
    )
    figures, overlays = run.folder / "lesions.json", run.figures_folder / "overlays.png"
    files.write_json(figures, measured.values() | {"protocol": protocol})
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
            **measured.last.dice.flatten("dice"),
        },
        outputs=[str(path) for path in outputs],
    )


def _told(measured: LesionEvaluation, protocol: str) -> Table:
    caption = (
        f"{protocol}. Dice, IoU and area error: over the images that show such a lesion. Found: the share of connected "
        "lesions that a peak of the map marks, with 0.5, 1 and 2 false alarms an image. Left clear: of the images "
        "without one. The brightest blob is as large as such lesions usually are in validation."
    )
    return Table("Lesions on the test images", measured.columns, measured.rows(), caption)


def _drawn(
    training: Training, task: SegmentTask, test: Images, measured: LesionEvaluation, protocol: str, path: Path
) -> Iterator[Event]:
    from tfm.analysis.lesions.evaluation import collect_cases
    from tfm.analysis.lesions.overlays import draw_overlays

    draw_overlays(path, collect_cases(training, task, test, measured), protocol)
    yield Picture(str(path), "Lesions drawn best, middling and worst, beside the truth")
