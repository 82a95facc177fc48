"""Train a model on a preprocessed dataset

Ends with the probabilities of the best checkpoint for validation and test, and a threshold chosen on validation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from tfm.core.events import Event, Note, Result
from tfm.core.registry import stage
from tfm.core.run import Run
from tfm.core.settings import CacheName, DatasetName, Settings
from tfm.models.settings import ModelSettings
from tfm.train.settings import DEFAULT_SEED, BatchSettings, MachineSettings, OptimSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tfm.train.fit import Training
    from tfm.train.rows import Rows


class Train(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    model: ModelSettings = ModelSettings()
    batches: BatchSettings = BatchSettings()
    optim: OptimSettings = OptimSettings()
    seed: int = DEFAULT_SEED
    """Seed of everything random: first weights, order, augmentation, dropout"""
    machine: MachineSettings = MachineSettings()


@stage(version=2, presets="models")
def train(settings: Train, run: Run) -> Iterator[Event]:
    from tfm.core import files
    from tfm.data.cache import Cache
    from tfm.data.dataset import Dataset
    from tfm.models.weights import fetch
    from tfm.train.checkpoint import Checkpoints
    from tfm.train.device import gpu_name, prepare, take_turn
    from tfm.train.fit import fit
    from tfm.train.rows import check_learnable, rows_of
    from tfm.train.setup import set_up

    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    cache = Cache.open(run.workspace.cache_folder(settings.cache))
    train, val, test = (rows_of(dataset, cache, split) for split in ("train", "val", "test"))
    check_learnable(train, val, test)
    weights = fetch(settings.model)
    device = yield from prepare(settings.machine, run)
    with contextlib.ExitStack() as held:
        if device.type == "cuda":
            yield from take_turn(gpu_name(device), run.id, held)
        training = set_up(
            settings.model,
            weights,
            settings.batches,
            settings.optim,
            seed=settings.seed,
            cache=cache,
            train=train,
            val=val,
            device=device,
        )
        run.remember(
            dataset=settings.dataset,
            dataset_hash=dataset.content_hash,
            split_hash=dataset.split_hash,
            protocol=dataset.protocol,
            synthetic=dataset.synthetic,
            patients_seen=sorted({*train.patients, *val.patients}),
            normalisation=asdict(training.train.normalisation),
            weights_sha256=files.sha256(weights) if weights else None,
        )
        yield Note(f"{len(train)} images to learn from, {len(val)} for validation, {len(test)} for the test; {device}")
        checkpoints = Checkpoints(run.checkpoints_folder, settings.machine.checkpoint_seconds)
        yield from fit(training, checkpoints, run.metrics_file)
        training.network.load_state_dict(checkpoints.load_best()["network"])
        yield from _finish(settings, run, training, test, checkpoints.best)


def _finish(settings: Train, run: Run, training: Training, test: Rows, best: Path) -> Iterator[Event]:
    """The last step: the best checkpoint's probabilities. The threshold is validation's; test steers nothing."""
    from tfm.analysis.predict import predict, write_predictions
    from tfm.metrics.binary import auc, youden_threshold
    from tfm.models.card import origin, parameters

    size = settings.batches.batch_size
    val_file, test_file = run.predictions_file("val"), run.predictions_file("test")
    val_predictions = yield from predict(training.network, training.val, size, "predicting validation")
    write_predictions(val_file, val_predictions)
    test_images = replace(training.val, rows=test)
    write_predictions(test_file, (yield from predict(training.network, test_images, size, "predicting test")))
    labels, probs = val_predictions["label"].to_numpy(), val_predictions["prob"].to_numpy()
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
        outputs=[str(path) for path in (val_file, test_file, best, run.metrics_file)],
    )
