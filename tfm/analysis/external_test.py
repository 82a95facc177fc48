"""Trained models, tested on a dataset that they were not trained on. Threshold and temperature stay those of each run.
The predictions are made in `tfm.pipelines`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from tfm.analysis.predictions import read_predictions, write_predictions
from tfm.analysis.settings import Unit
from tfm.analysis.trained_run import DatasetFacts, TrainedModel, build_protocol, open_trained_model
from tfm.analysis.units import group_by_unit
from tfm.core import files
from tfm.core.records import build_record
from tfm.core.runs.run import Run
from tfm.metrics.differences import subtract_independent
from tfm.metrics.intervals import Interval

EXTERNAL_TEST = "external test"
_SAME_COLLECTION = "same collection as the training images, other patients"


@dataclass(frozen=True)
class ExternalTest:
    dataset: DatasetFacts  # every image is a test image
    predictions: Mapping[str, pd.DataFrame]  # by run
    manifest: pd.DataFrame | None = None  # of the dataset

    def open_model(self, run: Run, unit: Unit = "image") -> TrainedModel:
        """Open a run with the predictions for this dataset in place of those for its own test split."""
        own, table = open_trained_model(run, unit), self.predictions[run.id]
        facts = replace(self.dataset, protocol=self._describe(run))
        protocol = build_protocol(facts, table, own.protocol.threshold_rule, unit)
        return replace(
            own,
            predictions=group_by_unit(table, unit),
            protocol=replace(protocol, split=EXTERNAL_TEST),
            # A dataset that was organized again under its name made other models.
            settings=own.settings | {"dataset": own.protocol.dataset_hash},
        )

    def _describe(self, run: Run) -> str:
        seen = _list_collections(run.read_environment()["patients_seen"])
        is_same = seen & _list_collections(self.predictions[run.id]["patient_id"])
        return f"{self.dataset.protocol}, {_SAME_COLLECTION}" if is_same else self.dataset.protocol


@dataclass(frozen=True)
class _Record:
    """What the file beside stored predictions says of them."""

    sha256: str
    weights: str  # a digest of the run's outputs
    dataset: DatasetFacts


def digest_weights(run: Run) -> str:
    status = run.read_status()
    return hashlib.sha256(json.dumps([status.key, status.outputs]).encode()).hexdigest()


def store_predictions(file: Path, table: pd.DataFrame, run: Run, dataset: DatasetFacts) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(file, table)
    record = _Record(files.compute_sha256(file), digest_weights(run), dataset)
    files.write_json(file.with_suffix(".json"), asdict(record))


def read_stored_dataset(file: Path, run: Run) -> DatasetFacts | None:
    """Return the dataset of stored predictions; None if they are missing, damaged or of other weights of the run."""
    with contextlib.suppress(OSError, ValueError):
        record = build_record(_Record, files.read_json(file.with_suffix(".json")))
        if record.sha256 == files.compute_sha256(file) and record.weights == digest_weights(run):
            return record.dataset
    return None


def list_external_tests(runs: Sequence[Run]) -> list[ExternalTest]:
    """List the external tests that are stored for these runs, in the order of names. The newest of a run counts."""
    found: dict[DatasetFacts, dict[str, pd.DataFrame]] = {}
    for run in runs:
        stored = run.workspace.external_folder.joinpath(run.id).glob("*.csv")
        for file in sorted(stored, key=lambda path: path.stat().st_mtime_ns):
            if dataset := read_stored_dataset(file, run):
                found.setdefault(dataset, {})[run.id] = read_predictions(file)
    return [ExternalTest(one, found[one]) for one in sorted(found, key=lambda one: one.dataset)]


def _list_collections(patients: Iterable[str]) -> set[str]:
    """The collections that patients belong to, by the prefix of their names. CBIS-DDSM has none."""
    return {patient.rpartition(":")[0] for patient in patients}


@dataclass(frozen=True)
class Drop:
    """How much lower a metric is outside."""

    own: Interval  # on the own test split
    external: Interval

    @property
    def interval(self) -> Interval:
        """Both tests are of different patients."""
        return subtract_independent(self.own, self.external)

    def describe(self) -> str:
        """Say what the interval of an AUC's drop means."""
        drop = self.interval
        if not math.isfinite(drop.low):
            return "There are too few patients for an interval."
        if not drop.low <= 0 <= drop.high:
            meaning = "That is more than chance explains."
        else:
            meaning = "That may be chance: the interval includes 0."
        return f"{meaning} Its AUC there may be that of guessing (0.5)." if self.external.low <= 0.5 else meaning

    def flatten(self, name: str) -> dict[str, float | None]:
        parts = {f"own_{name}": self.own, f"external_{name}": self.external, f"{name}_drop": self.interval}
        return {part: value for key, one in parts.items() for part, value in one.flatten(key).items()}
