"""New images, preprocessed for each of the models that predict them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfm.analysis.prediction.predicted_images import find_seen_patient, make_identities
from tfm.analysis.prediction.unlike_training import describe_differences, is_crop
from tfm.commands import preprocess
from tfm.commands.predict import Predict
from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.data.cache.cache import Cache
from tfm.data.new_images.find_new_images import NewImages, find_new_images
from tfm.data.new_images.preprocess_new_images import preprocess_new_images
from tfm.data.seen_patients import SeenPatients
from tfm.pipelines.predictors import NetworkPredictor, Predictor
from tfm.training.inputs.images_seen import measure_image
from tfm.training.inputs.samples import UNKNOWN, Samples

_SHOWN_REASONS = 20
_CROP = "breast from edge to edge, as in a crop: not a whole mammogram; use the whole one"
_ALONE = "classified alone: the files do not contain the other view of its breast, or do not name both"


@dataclass(frozen=True)
class PreparedImages:
    images: NewImages  # those that all models can predict
    caches: Mapping[str, Cache]  # by the steps that made them
    twins: Mapping[str, str]  # image → the image of a training cache with the same pixels

    def find_cache(self, predictor: Predictor) -> Cache:
        return self.caches[predictor.chain.model_dump_json()]

    def select(self, predictor: Predictor, names: Sequence[str]) -> Samples:
        table = make_identities({name: self.images.facts[name] for name in names}).assign(label=UNKNOWN)
        return Samples(table, pd.Index(self.find_cache(predictor).index["image_id"]).get_indexer(pd.Index(names)))

    def measure(self, predictor: Predictor) -> dict[str, tuple[dict[str, float], dict[str, Any]]]:
        """Map each image to what is measured on it after preprocessing, and to its record."""
        cache, names = self.find_cache(predictor), list(self.images.facts)
        measured = {}
        for name, at in zip(names, self.select(predictor, names).positions, strict=True):
            record = json.loads(cache.index["record"][at])
            measured[name] = (measure_image(cache.images[at], cache.breast[at], record), record)
        return measured

    def list_remarks(self, predictors: Sequence[Predictor], seen: SeenPatients) -> dict[str, list[str]]:
        """Map each image to what a reader must know about its prediction. `seen` are the patients of the models."""
        remarks: dict[str, list[str]] = {name: [] for name in self.images.facts}
        for name, facts in self.images.facts.items():
            if patient := self.find_seen_patient(name, seen):
                remarks[name].append(
                    f"the model was trained or validated on patient {patient}: this is no prediction for a new patient"
                )
            elif not facts.patient:
                remarks[name].append("its patient is unknown: the model may have been trained on it")
            if facts.conflict:
                remarks[name].append(f"its name says {facts.conflict}, its header contradicts it: the header counts")
        for predictor in predictors:
            for name, (measured, record) in self.measure(predictor).items():
                remarks[name] += describe_differences(self.images.facts[name], record, measured, predictor.seen)
        if any(isinstance(one, NetworkPredictor) and one.settings.two_views for one in predictors):
            samples = self.select(predictors[0], [*remarks])
            for place in np.flatnonzero(samples.other_views == np.arange(len(samples))):
                remarks[samples.table["image_id"][place]].append(_ALONE)
        return {name: list(dict.fromkeys(found)) for name, found in remarks.items()}

    def find_seen_patient(self, name: str, seen: SeenPatients) -> str:
        """Return the patient if the models have seen that one; a copy of a training image needs no name for that."""
        text = f"{self.images.folder.name}/{name}/{self.twins.get(name, '')}"
        return find_seen_patient(text, self.images.facts[name], seen)


def prepare_images(
    settings: Predict, predictors: Sequence[Predictor], home: Path
) -> Generator[Event, None, PreparedImages]:
    """Find the images and preprocess them for each model. What any model cannot predict is refused.

    Args:
        home: folder for their caches.
    """
    crops = all(one.seen.crops for one in predictors)
    images = yield from find_new_images(settings.paths, crops=crops)
    caches: dict[str, Cache] = {}
    version, workers = preprocess.COMMAND.version, settings.workers
    for number, steps in enumerate({one.chain.model_dump_json(): one.chain for one in predictors}.items()):
        images, cache = yield from preprocess_new_images(
            home / str(number), images, steps[1], version=version, workers=workers, crops=crops
        )
        if cache:
            caches[steps[0]] = cache
    prepared = PreparedImages(images, caches, {})
    if images.facts:
        first = predictors[0]
        measured = prepared.measure(first)
        crops_found = [name for name, (values, _) in measured.items() if is_crop(values, first.seen)]
        twins = _find_twins({name: record["pixels"] for name, (_, record) in measured.items()}, predictors)
        prepared = PreparedImages(images.refuse(dict.fromkeys(crops_found, _CROP)), caches, twins)
    if not prepared.images.facts:
        refused = list(prepared.images.refused.items())
        reasons = "".join(f"\n{name}: {reason}" for name, reason in refused[:_SHOWN_REASONS])
        raise DataError(
            f"none of the {len(refused)} files in {', '.join(map(str, settings.paths))} is a mammogram{reasons}",
            hint="choose other files",
        )
    return prepared


def _find_twins(pixels: Mapping[str, str], predictors: Sequence[Predictor]) -> dict[str, str]:
    """Find copies of images of the training caches, as far as these still exist."""
    known: dict[str, str] = {}
    for folder in {one.training_cache for one in predictors}:
        with contextlib.suppress(DataError):
            cache = Cache.open(folder)
            records = cache.read_records(cache.index["image_id"])
            known |= {record["pixels"]: name for name, record in records.items() if "pixels" in record}
    return {name: known[digest] for name, digest in pixels.items() if digest in known}
