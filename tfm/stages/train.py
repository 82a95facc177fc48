"""Train a model on a preprocessed dataset

Ends with the probabilities of the best checkpoint for validation and test, and a threshold chosen on validation.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Event, Note, Result
from tfm.core.registry import Repeat, stage
from tfm.core.run import Run
from tfm.core.settings import CacheName, DatasetName, Settings, StudyRun, TrainedRun
from tfm.core.workspace import Workspace
from tfm.models.settings import ModelSettings
from tfm.train.settings import DEFAULT_SEED, BatchSettings, MachineSettings, OptimSettings

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from tfm.data.cache import Cache
    from tfm.data.dataset import Dataset
    from tfm.train.checkpoint import Checkpoints
    from tfm.train.origin import Origin
    from tfm.train.rows import Rows
    from tfm.train.training import Training


class Train(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    fold: Annotated[int, Field(ge=1)] | None = None
    """Fold for validation, of a dataset with folds; the others are for training
    None: as the dataset is arranged, which with folds is the first."""
    model: ModelSettings = ModelSettings()
    batches: BatchSettings = BatchSettings()
    optim: OptimSettings = OptimSettings()
    tta: bool = False
    """Predict each image twice, as it is and mirrored, and take the mean
    For validation, and with it the threshold, as for the test."""
    seed: int = DEFAULT_SEED
    """Seed of everything random: first weights, order, augmentation, dropout"""
    machine: MachineSettings = MachineSettings()
    extends: TrainedRun | None = None
    """The run that this one goes on from
    From its last checkpoint, with more epochs. The learning rate follows the curve of the new number of epochs, so it
    leaps up where the old run had come to the end of its own; patience begins anew."""
    study: StudyRun | None = None
    """The study whose winner this is
    What its best trial was set to holds where nothing else is said; the women the study has seen count as seen."""
    trial: str | None = None
    """The trial of a study that this run is, said by the study itself
    It ends with its validation: of the test nothing is predicted while there is still something to choose."""


def _folds(settings: Train, workspace: Workspace) -> int:
    """How many the dataset has; one that was not arranged in folds is one."""
    with open(workspace.dataset_folder(settings.dataset) / "manifest.csv", encoding="utf-8", newline="") as file:
        return max((int(row.get("fold") or 0) for row in csv.DictReader(file)), default=0) or 1


@stage(
    version=3,
    presets="models",
    extends_by="epochs",
    repeats=(Repeat("folds", "fold", _folds), Repeat("seeds", "seed")),
)
def train(settings: Train, run: Run) -> Iterator[Event]:
    from tfm.data.cache import Cache
    from tfm.data.dataset import Dataset
    from tfm.train.checkpoint import Checkpoints
    from tfm.train.device import gpu_name, prepare, take_turn
    from tfm.train.rows import check_learnable, rows_of

    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    dataset = dataset if settings.fold is None else dataset.in_fold(settings.fold)
    cache = Cache.open(run.workspace.cache_folder(settings.cache))
    train, val, test = (rows_of(dataset, cache, split) for split in ("train", "val", "test"))
    check_learnable(train, val, test)
    device = yield from prepare(settings.machine, run)
    with contextlib.ExitStack() as held:
        if device.type == "cuda":
            yield from take_turn(gpu_name(device), run.id, held)
        training, origin = _set_up(settings, run, dataset, cache, [train, val, test], device)
        yield from _settle_batch_size(settings, run, training, origin)
        yield from _introduced(settings, training, cache)
        yield Note(f"{len(train)} images to learn from, {len(val)} for validation, {len(test)} for the test; {device}")
        checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds)
        yield from _learn(settings, run, training, checkpoints, origin)
        training.judged.load_state_dict(checkpoints.load_best()["network"])
        yield from _finish(settings, run, training, test, checkpoints.best)


def _set_up(
    settings: Train, run: Run, dataset: Dataset, cache: Cache, rows: list[Rows], device: torch.device
) -> tuple[Training, Origin | None]:
    """The training before its first step, and the run it goes on from; `run` remembers what it is made of."""
    from tfm.core import files
    from tfm.models.weights import fetch
    from tfm.train import origin
    from tfm.train.batches import fingerprint
    from tfm.train.setup import set_up

    train, val, test = rows
    source = origin.of_weights(run, settings.model.weights, val, test)
    before = origin.of_extension(run, settings.extends)
    study = origin.of_study(run, settings.study, test)
    weights = fetch(settings.model, source.checkpoints.best if source else None)
    facts = {
        "dataset": settings.dataset,
        "dataset_hash": dataset.content_hash,
        "split_hash": dataset.split_hash,
        "protocol": dataset.protocol,
        "synthetic": dataset.synthetic,
        "images_sha256": fingerprint(cache, train, val, test),
        "weights_sha256": files.sha256(weights) if weights else None,
    }
    if run.environment.get("images_sha256", facts["images_sha256"]) != facts["images_sha256"]:
        raise DataError(
            f"the images of the cache {settings.cache} have changed since this run began",
            hint=f"train on what stands now: `python wizard.py runs restart {run.id}`",
        )
    if before:
        origin.check_same(before, facts)
    training = set_up(
        settings.model,
        weights,
        settings.batches,
        settings.optim,
        settings.machine,
        seed=settings.seed,
        cache=cache,
        train=train,
        val=val,
        device=device,
    )
    seen = {*train.patients, *val.patients}.union(*(one.patients_seen for one in (source, before, study) if one))
    run.remember(**facts, patients_seen=sorted(seen), normalisation=asdict(training.train.normalisation))
    return training, before


def _settle_batch_size(settings: Train, run: Run, training: Training, origin: Origin | None) -> Iterator[Event]:
    """What was tried out before the first step holds for the whole run, and for those that go on from it."""
    from tfm.train.batch_size import fitting

    if settings.batches.batch_size == "auto":
        began = run.environment | (origin.run.environment if origin else {})
        training.batch_size = began.get("batch_size") or fitting(training)
        yield Note(f"batches of {training.batch_size} images")
    run.remember(batch_size=training.batch_size)


def _introduced(settings: Train, training: Training, cache: Cache) -> Iterator[Event]:
    """How large the network is, before it takes its first step."""
    from tfm.models.card import card_of

    height, width = cache.images.shape[1:]
    card = card_of(settings.model, (height, width), training.batch_size)
    yield Note(
        f"{card.parameters:,} parameters, {card.trained:,} of them trained; images of {height} × {width}; "
        f"≈ {card.memory / 2**30:.1f} GiB for batches of {card.batch_size}; "
        f"explained at its layer {card.explanation_layer} ({card.layout})"
    )


def _learn(
    settings: Train, run: Run, training: Training, checkpoints: Checkpoints, origin: Origin | None
) -> Iterator[Event]:
    from tfm.train.fit import fit
    from tfm.train.origin import go_on_from
    from tfm.train.probe import probe

    if settings.model.trained != "none":
        if origin and checkpoints.last_written is None:
            go_on_from(origin, training, checkpoints)
        yield from fit(training, checkpoints, run.metrics_file)
    elif origin:
        raise SettingsError(
            "a regression on frozen features has come to its end: there is nothing to extend",
            hint="train the last stage or all of it: --trained last_stage, --trained all",
            fields=("extends",),
        )
    else:
        yield from probe(training, checkpoints, run.metrics_file, run.checkpoints_folder)


def _finish(settings: Train, run: Run, training: Training, test: Rows, best: Path) -> Iterator[Event]:
    """The last step: the best checkpoint's probabilities. The threshold is validation's; test steers nothing."""
    from tfm.analysis.predict import predict, write_predictions
    from tfm.metrics.binary import auc, youden_threshold
    from tfm.models.card import origin, parameters

    tables = {}
    for split, words, rows in (("val", "validation", training.val.rows), ("test", "test", test)):
        if settings.trial and split == "test":
            continue
        tables[split] = yield from predict(
            training.judged,
            replace(training.val, rows=rows),
            training.batch_size,
            f"predicting {words}",
            precision=training.precision,
            tta=settings.tta,
        )
        write_predictions(run.predictions_file(split), tables[split])
    labels, probs = tables["val"]["label"].to_numpy(), tables["val"]["prob"].to_numpy()
    outputs = [*(run.predictions_file(split) for split in tables), best, run.metrics_file]
    yield Result(
        {
            "run": run.id,
            "model": run.preset or settings.model.architecture,
            "weights": origin(settings.model.weights),
            "parameters": parameters(training.network),
            "epochs": training.standing.epoch,
            "val_auc": auc(labels, probs),
            "threshold": youden_threshold(labels, probs),
        },
        outputs=[str(path) for path in outputs],
    )
