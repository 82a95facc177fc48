"""Trained models, tested on a dataset that they were not trained on. Threshold and temperature stay those of each run.
The predictions are made in `tfm.pipelines`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from tfm.analysis.settings import Unit
from tfm.analysis.trained_run import TrainedModel, build_protocol, open_trained_model
from tfm.analysis.units import group_by_unit
from tfm.core.runs.run import Run
from tfm.data.dataset.dataset import Dataset
from tfm.metrics.differences import subtract_independent
from tfm.metrics.intervals import Interval

EXTERNAL_TEST = "external test"
_SAME_COLLECTION = "same collection as the training images, other patients"


@dataclass(frozen=True)
class ExternalTest:
    dataset: Dataset  # every image is a test image
    predictions: Mapping[str, pd.DataFrame]  # by run

    @property
    def name(self) -> str:
        return self.dataset.folder.name

    def open_model(self, run: Run, unit: Unit = "image") -> TrainedModel:
        """Open a run with the predictions for this dataset in place of those for its own test split."""
        own, table = open_trained_model(run, unit), self.predictions[run.id]
        environment = {
            "dataset": self.name,
            "dataset_hash": self.dataset.content_hash,
            "split_hash": self.dataset.split_hash,
            "protocol": self._describe(run),
            "synthetic": self.dataset.synthetic,
        }
        protocol = build_protocol(environment, table, own.protocol.threshold_rule, unit)
        return replace(
            own,
            predictions=group_by_unit(table, unit),
            protocol=replace(protocol, split=EXTERNAL_TEST),
            # A dataset that was organized again under its name made other models.
            settings=own.settings | {"dataset": own.protocol.dataset_hash},
        )

    def _describe(self, run: Run) -> str:
        seen = _list_collections(run.read_environment()["patients_seen"])
        is_same = seen & _list_collections(self.dataset.manifest["patient_id"])
        return f"{self.dataset.protocol}, {_SAME_COLLECTION}" if is_same else self.dataset.protocol


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
        if not drop.low <= 0 <= drop.high:
            meaning = "That is more than chance explains."
        else:
            meaning = "That may be chance: the interval includes 0."
        return f"{meaning} Its AUC there may be that of guessing (0.5)." if self.external.low <= 0.5 else meaning

    def flatten(self, name: str) -> dict[str, float | None]:
        parts = {f"own_{name}": self.own, f"external_{name}": self.external, f"{name}_drop": self.interval}
        return {part: value for key, one in parts.items() for part, value in one.flatten(key).items()}
