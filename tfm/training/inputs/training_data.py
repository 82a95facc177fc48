"""What a run learns from, is validated and is tested on, and the facts about it that the run remembers.

Every stage that trains opens it here. What is trained stands in setup, how in the loop.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfm.core import files
from tfm.core.errors import DataError
from tfm.core.events import Event
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.arrays import ARRAYS
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.models.settings import FILE, ModelSettings
from tfm.models.weights import fetch_weights
from tfm.training.batches import Normalisation, fingerprints, measure
from tfm.training.inputs import lineage
from tfm.training.inputs.lineage import Origin
from tfm.training.inputs.samples import Rows, rows_of


@dataclass(frozen=True)
class Material:
    """A stage that learns from other rows than the splits' own replaces them before anything is remembered."""

    dataset: Dataset
    cache: Cache
    train: Rows
    val: Rows
    test: Rows

    @classmethod
    def open(cls, workspace: Workspace, dataset: str, cache: str, fold: int = 1) -> Material:
        arranged = Dataset.open(workspace.dataset_folder(dataset)).select_fold(fold)
        images = Cache.open(workspace.cache_folder(cache))
        train, val, test = (rows_of(arranged, images, split) for split in ("train", "val", "test"))
        return cls(arranged, images, train, val, test)

    def facts(self) -> Generator[Event, None, dict[str, Any]]:
        pixels = yield from fingerprints(self.cache, self.train, self.val, self.test)
        return {
            "dataset": self.dataset.folder.name,
            "dataset_hash": self.dataset.content_hash,
            "split_hash": self.dataset.split_hash,
            "protocol": self.dataset.protocol,
            "synthetic": self.dataset.synthetic,
            **{f"{name}_sha256": digest for name, digest in pixels.items()},
        }


@dataclass(frozen=True)
class Start:
    weights: Path | None  # the file; None from scratch
    source: Origin | None  # the run whose weights they are
    before: Origin | None  # the run that this one goes on from


def start(
    run: Run,
    material: Material,
    model: ModelSettings,
    extends: str | None = None,
    study: str | None = None,
    *,
    judged_by: Material | None = None,
) -> Generator[Event, None, Start]:
    """Whose weights a run takes over, whose end it goes on from and which study chose its settings. `run` remembers
    these, what it is made of and whom it has seen; refused where these have seen whom it is judged by, or
    where anything has changed since. `judged_by` holds validation and test where the run's own are no judges."""
    judges = judged_by or material
    source = lineage.of_weights(run.workspace, model.weights, judges.val, judges.test)
    before = lineage.of_extension(run, extends)
    chosen_by = lineage.of_study(run, study, material.test)
    weights = fetch_weights(model, source.checkpoints.best if source else None)
    facts = yield from material.facts()
    if before:
        lineage.check_same(before, facts)
        run.save_facts(minutes_before=lineage.minutes_of_work(before.run))
    givers = [one for one in (source, before) if one]
    named = {Path(model.weights.removeprefix(FILE)).name} if model.weights.startswith(FILE) else set()
    run.save_facts(origin_unknown=sorted(named.union(*(one.unknown for one in givers))))
    remember(run, material, facts, weights, [*givers, chosen_by] if chosen_by else givers)
    return Start(weights, source, before)


def measured(run: Run, cache: Cache, train: Rows) -> Generator[Event, None, Normalisation]:
    """Over the images that a run learns from; `run` remembers it."""
    normalisation = yield from measure(cache, train)
    run.save_facts(normalisation=asdict(normalisation))
    return normalisation


def remember(
    run: Run, material: Material, facts: dict[str, Any], weights: Path | None, origins: Iterable[Origin]
) -> None:
    """Of a run that began before: that its images, their masks and its first weights are still the same."""
    facts |= {"weights_sha256": files.compute_sha256(weights) if weights else None}
    pixels = [f"{array}_sha256" for array in ARRAYS]
    kept = {name: f"the {lineage.SAME[name]} of the cache {material.cache.folder.name}" for name in pixels}
    for name, words in (kept | {"weights_sha256": f"the weights in {weights}"}).items():
        if run.read_environment().get(name, facts[name]) != facts[name]:
            raise DataError(
                f"{words} have changed since this run began",
                hint=f"train on what stands now: {run.describe_restart()}",
            )
    seen = {*material.train.patients, *material.val.patients}.union(*(one.patients_seen for one in origins))
    run.save_facts(**facts, patients_seen=sorted(seen))
