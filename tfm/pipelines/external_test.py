"""Predict another dataset with trained models, by the weights and the preprocessing steps of each.

The predictions are kept in the workspace: evaluate and compare read the same ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from tfm.analysis.external_tables import describe_differences
from tfm.analysis.external_test import ExternalTest, digest_weights, read_stored_dataset, store_predictions
from tfm.analysis.prediction.predicted_images import average_members
from tfm.analysis.predictions import make_table, read_predictions
from tfm.analysis.trained_run import DatasetFacts
from tfm.core.errors import DataError
from tfm.core.events import Event, Note
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.file_facts import read_file_facts
from tfm.pipelines.dataset_cache import find_or_build_cache, name_cache
from tfm.pipelines.external_dataset import find_known_patients, refuse_training_images
from tfm.pipelines.predictors import Predictor, open_predictors
from tfm.training.batches import hash_pixels
from tfm.training.device import prepare_device
from tfm.training.inputs.samples import Samples, find_samples
from tfm.training.settings import DeviceSettings


@dataclass(frozen=True)
class _Images:
    """The images of a dataset, preprocessed by the steps of a model."""

    cache: Cache
    samples: Samples
    pixels: Mapping[str, str]  # digests of the arrays


def predict_dataset(
    dataset: Dataset, runs: Sequence[Run], machine: DeviceSettings, run: Run
) -> Generator[Event, None, ExternalTest]:
    """Predict all images of a dataset with each of `runs`.

    Args:
        dataset: opened for an external test.
        run: The run that needs the predictions.
    """
    yield from _describe_differences(dataset, runs)
    features = run.folder / "features"
    models: dict[str, list[Predictor]] = {}
    for one in runs:
        models[one.id] = yield from open_predictors(one, features)
        yield from _warn_about_unknown_origins(one)
        yield from _warn_about_shared_patients(one, dataset)
    predictors = {one.run.id: one for members in models.values() for one in members}
    images = yield from _preprocess(run.workspace, dataset, list(predictors.values()))
    records = next(iter(images.values())).cache.read_records(dataset.manifest["image_id"])
    for one in runs:
        for gone in refuse_training_images(one, dataset, records):
            yield Note(f"{one.id}: {gone} is gone, so its images cannot be compared with those of the test", "warning")
    tested = DatasetFacts(
        dataset.folder.name, dataset.protocol, dataset.content_hash, dataset.split_hash, dataset.synthetic
    )
    stored = {name: _find_file(one.run, dataset, images[_spell_steps(one)].pixels) for name, one in predictors.items()}
    missing = [one for name, one in predictors.items() if read_stored_dataset(stored[name], one.run) != tested]
    with contextlib.ExitStack() as held:
        device = (yield from prepare_device(machine, run, held)) if missing else torch.device("cpu")
        for predictor in missing:
            found = images[_spell_steps(predictor)]
            probs = yield from predictor.predict(found.cache, found.samples, device)
            store_predictions(stored[predictor.run.id], make_table(found.samples, probs), predictor.run, tested)
    shutil.rmtree(features, ignore_errors=True)
    tables = {name: read_predictions(path) for name, path in stored.items()}
    for one in runs:
        if one.id not in tables:  # an average
            tables[one.id] = _average([tables[member.run.id] for member in models[one.id]])
            file = _find_file(one, dataset, [images[_spell_steps(member)].pixels for member in models[one.id]])
            if read_stored_dataset(file, one) != tested:
                store_predictions(file, tables[one.id], one, tested)
    return ExternalTest(tested, {one.id: tables[one.id] for one in runs}, dataset.manifest)


def _average(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return tables[0].assign(prob=average_members([table["prob"].to_numpy() for table in tables]))


def _describe_differences(dataset: Dataset, runs: Sequence[Run]) -> Iterator[Event]:
    """Tell what differs from the training images before anything is predicted."""
    facts = yield from read_file_facts(dataset, "test")
    for name, content in dict.fromkeys(
        (one["dataset"], one["dataset_hash"]) for one in map(Run.read_environment, runs)
    ):
        try:
            own = Dataset.open(runs[0].workspace.dataset_folder(name))
        except DataError:
            own = None
        if own is None or own.content_hash != content:
            yield Note(
                f"the training dataset {name} is gone or has changed: what differs from {dataset.folder.name} is "
                "unknown",
                "warning",
            )
        else:
            own_facts = yield from read_file_facts(own, "train", "val")
            yield Note(describe_differences((own, dataset), (own_facts, facts)), "warning")


def _warn_about_unknown_origins(run: Run) -> Iterator[Note]:
    if names := run.read_environment().get("origin_unknown"):
        yield Note(
            f"{run.id} started from {', '.join(names)}: which patients those weights have seen is unknown", "warning"
        )


def _warn_about_shared_patients(run: Run, dataset: Dataset) -> Iterator[Note]:
    shared = find_known_patients(dataset, read_predictions(run.predictions_file("test"))["patient_id"])
    if shared:
        yield Note(
            f"{len(shared)} patients of {dataset.folder.name} are in the own test of {run.id} too: the interval of the "
            "drop takes them for different ones, so it is too wide",
            "warning",
        )


def _preprocess(
    workspace: Workspace, dataset: Dataset, predictors: Sequence[Predictor]
) -> Generator[Event, None, dict[str, _Images]]:
    """Find or make a cache of the dataset for the steps of each model. Map the steps to its images."""
    images: dict[str, _Images] = {}
    for steps, chain in {_spell_steps(one): one.chain for one in predictors}.items():
        name = name_cache(workspace, dataset.folder.name, chain)
        name = yield from find_or_build_cache(workspace, name, dataset, chain)
        cache = Cache.open(workspace.cache_folder(name))
        samples = find_samples(dataset, cache, "test")
        images[steps] = _Images(cache, samples, (yield from hash_pixels(cache, samples)))
    return images


def _spell_steps(predictor: Predictor) -> str:
    return predictor.chain.model_dump_json()


def _find_file(run: Run, dataset: Dataset, pixels: Mapping[str, str] | Sequence[Mapping[str, str]]) -> Path:
    """The file for these predictions. Its name says what they depend on: weights, labels and pixels."""
    of = [digest_weights(run), dataset.content_hash, pixels]
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    return run.workspace.external_folder / run.id / f"{dataset.folder.name}-{digest[:16]}.csv"
