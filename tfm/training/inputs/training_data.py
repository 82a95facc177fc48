"""The data of a run: dataset, cache and samples of each split, and the facts about them that the run remembers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfm.core import files
from tfm.core.errors import DataError, RunError
from tfm.core.events import Event, Note
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.arrays import ARRAYS
from tfm.data.cache.cache import Cache
from tfm.data.cache.duplicate_images import find_duplicates
from tfm.data.dataset.dataset import Dataset
from tfm.data.seen_patients import hide_names
from tfm.models.normalisation import Normalisation
from tfm.models.settings import FILE, ModelSettings
from tfm.models.weights import fetch_weights, read_normalisation
from tfm.training.batches import hash_pixels, measure_intensities
from tfm.training.inputs import starting_point
from tfm.training.inputs.samples import Samples, find_samples
from tfm.training.inputs.starting_point import ExportedWeights, SourceRun
from tfm.training.minutes_of_work import measure_minutes_of_work


@dataclass(frozen=True)
class TrainingData:
    dataset: Dataset
    cache: Cache
    train: Samples
    val: Samples
    test: Samples

    @classmethod
    def open(cls, workspace: Workspace, dataset: str, cache: str, fold: int = 1) -> TrainingData:
        opened = Dataset.open(workspace.dataset_folder(dataset)).select_fold(fold)
        images = Cache.open(workspace.cache_folder(cache))
        _refuse_pixels_in_two_splits(opened, images)
        train, val, test = (find_samples(opened, images, split) for split in ("train", "val", "test"))
        if lost := len(opened.manifest) - len(train) - len(val) - len(test):
            opened = replace(opened, protocol=f"{opened.protocol}, {lost} images left out: unreadable")
        return cls(opened, images, train, val, test)

    def collect_facts(self) -> Generator[Event, None, dict[str, Any]]:
        pixels = yield from hash_pixels(self.cache, self.train, self.val, self.test)
        return {
            "dataset": self.dataset.folder.name,
            "dataset_hash": self.dataset.content_hash,
            "split_hash": self.dataset.split_hash,
            "protocol": self.dataset.protocol,
            "synthetic": self.dataset.synthetic,
            **{f"{name}_sha256": digest for name, digest in pixels.items()},
        }


def _refuse_pixels_in_two_splits(dataset: Dataset, cache: Cache) -> None:
    leaks = [one for one in find_duplicates(dataset, cache) if one.is_leak]
    if leaks:
        raise DataError(
            f"{len(leaks)} image(s) of {dataset.folder.name} are in two splits under two names: "
            f"{' and '.join(leaks[0].images)} have the same pixels",
            hint="organize the download again under another name: patients with an identical image then count as one. "
            "If the images stay in two splits, their files are encoded differently: remove one from the case CSVs",
        )


@dataclass(frozen=True)
class Sources:
    weights: Path | None  # file with the first weights; None: from scratch
    weights_source: SourceRun | None  # the run they come from
    extended: SourceRun | None  # the run that this one extends


def open_sources(
    run: Run,
    data: TrainingData,
    model: ModelSettings,
    extends: str | None = None,
    study: str | None = None,
    *,
    evaluated_on: TrainingData | None = None,
) -> Generator[Event, None, Sources]:
    """Find what a run starts from, check it, and let `run` remember it with its data and the patients it has seen.

    Args:
        evaluated_on: validation and test of the later training, where the run's own do not evaluate anything.
    """
    evaluation = evaluated_on or data
    weights_source = starting_point.find_weights_source(run.workspace, model.weights, evaluation.val, evaluation.test)
    exported = starting_point.find_exported_weights(run.workspace, model.weights, evaluation.val, evaluation.test)
    extended = SourceRun(find_run(run.workspace, extends)) if extends else None
    chosen_by = starting_point.find_study(run, study, data.test)
    weights = fetch_weights(model, weights_source.open_checkpoints().best if weights_source else None)
    facts = yield from data.collect_facts()
    if extended:
        starting_point.check_unchanged(extended, facts)
        run.save_facts(minutes_before=measure_minutes_of_work(extended.run))
    sources = [source for source in (weights_source, exported, extended) if source]
    is_foreign = model.weights.startswith(FILE) and not exported
    named = {Path(model.weights.removeprefix(FILE)).name} if is_foreign else set()
    run.save_facts(origin_unknown=sorted(named.union(*(source.read_unknown_origins() for source in sources))))
    remember_inputs(run, data, facts, weights, [*sources, chosen_by] if chosen_by else sources)
    return Sources(weights, weights_source, extended)


def choose_normalisation(
    run: Run, data: TrainingData, model: ModelSettings, sources: Sources
) -> Generator[Event, None, Normalisation]:
    """Choose what the first weights were trained with; from scratch, measure the training images.

    A run keeps its choice when it is resumed, extended or gives its weights to another one.
    """
    known = _find_normalisation(run, model, sources)
    normalisation = known or (yield from measure_intensities(data.cache, data.train))
    if known and sources.weights:
        yield Note(
            "images are normalised as those that the first weights were trained on: "
            f"mean {known.mean:.3f}, standard deviation {known.deviation:.3f}"
        )
    run.save_facts(normalisation=normalisation.to_facts())
    return normalisation


def _find_normalisation(run: Run, model: ModelSettings, sources: Sources) -> Normalisation | None:
    own = run.read_environment().get("normalisation")
    if own:
        return Normalisation.from_facts(own)
    origin = sources.extended or sources.weights_source
    if origin:
        return origin.read_normalisation()
    if sources.weights is None:
        return None
    known = read_normalisation(model, sources.weights)
    with contextlib.suppress(RunError):  # the file is not in the folder of a run
        # A checkpoint from before does not contain it; its run knows it.
        maker = SourceRun(Run(sources.weights.parent.parent, run.workspace))
        known = known or maker.read_normalisation()
    return known


def remember_inputs(
    run: Run,
    data: TrainingData,
    facts: dict[str, Any],
    weights: Path | None,
    sources: Iterable[SourceRun | ExportedWeights],
) -> None:
    """Let `run` remember its data and first weights. When it is resumed, check that they are still the same."""
    facts |= {"weights_sha256": files.compute_sha256(weights) if weights else None}
    pixels = [f"{array}_sha256" for array in ARRAYS]
    kept = {name: f"the {starting_point.FINGERPRINTS[name]} of the cache {data.cache.folder.name}" for name in pixels}
    for name, words in (kept | {"weights_sha256": f"the weights in {weights}"}).items():
        if run.read_environment().get(name, facts[name]) != facts[name]:
            raise DataError(
                f"{words} have changed since this run started",
                hint=f"train on the data as it is now: {run.describe_restart()}",
            )
    seen = {*data.train.patient_names, *data.val.patient_names}.union(
        *(source.read_patients_seen() for source in sources)
    )
    run.save_facts(**facts, patients_seen=hide_names(seen, run.workspace))
