"""A finished training run as one object: its model, its test predictions, and the protocol of its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd
from pydantic import FiniteFloat

from tfm.analysis.predictions import read_predictions
from tfm.analysis.settings import Split, Unit
from tfm.analysis.threshold import choose_threshold, describe_rule, format_threshold
from tfm.analysis.units import EXPLANATIONS, PLURALS, group_by_unit
from tfm.core.errors import DataError, RunError
from tfm.core.records import build_record
from tfm.core.runs.run import Run
from tfm.training.minutes_of_work import measure_minutes_of_work
from tfm.training.refuse_leak_lab import refuse_leak_lab
from tfm.training.settings import DEFAULT_SEED

T = TypeVar("T")

SPLIT_NAMES: dict[Split, str] = {"val": "validation", "test": "test"}

_PHANTOM_WARNING = (
    "these images are synthetic phantoms, so the metrics say nothing about performance on real mammograms: "
    "organize a download of real ones"
)


@dataclass(frozen=True)
class Protocol:
    """How a model was trained and tested. Models may be ranked together only if their protocols are equal."""

    dataset: str = field(compare=False)  # only a name: the hashes identify the content
    arrangement: str  # the dataset's own description: split, lesions, labels
    dataset_hash: str
    split_hash: str
    synthetic: bool
    images: int
    units: int
    malignant: int  # of the units
    patients: int
    threshold_rule: str
    split: str = "test"
    unit: Unit = "image"

    @property
    def caption(self) -> str:
        return self.describe_with_dataset(
            f"{self.sample}{self.unit_rule}; 95 % intervals over patients: AUC and F1 on the logit scale, rates by "
            "Wilson (exactly 0 or 1: Clopper-Pearson, for the AUC over pairs of patients); "
            f"threshold chosen on validation ({describe_rule(self.threshold_rule)})"
        )

    @property
    def sample(self) -> str:
        images = "" if self.unit == "image" else f", {self.images} images"
        return (
            f"{self.split}, per {self.unit}: {self.units} {PLURALS[self.unit]} ({self.malignant} malignant) of "
            f"{self.patients} patients{images}"
        )

    def describe_test(self) -> str:
        """Name the dataset and the sample."""
        return f"{self.dataset}: {self.sample}; {self.arrangement}"

    @property
    def unit_rule(self) -> str:
        return EXPLANATIONS[self.unit]

    def describe_with_dataset(self, text: str) -> str:
        """Put the dataset before the text, and a warning after it if the dataset is synthetic."""
        data = f"dataset {self.dataset} ({self.arrangement}; {self.dataset_hash[:8]}), split {self.split_hash[:8]}"
        return f"{data}; {text}" + (f"; {_PHANTOM_WARNING}" if self.synthetic else "")


@dataclass(frozen=True)
class TrainedModel:
    run: str
    stage: str  # the command that made the run
    model: str
    weights: str
    parameters: int
    minutes: float  # of work
    threshold: float
    validation: pd.DataFrame  # predictions, as `group_by_unit` gives them
    predictions: pd.DataFrame  # of the test split, likewise
    protocol: Protocol
    settings: dict[str, Any]

    @property
    def fold(self) -> int:
        return int(self.settings.get("fold", 1))

    @property
    def seed(self) -> int:
        return int(self.settings.get("seed", DEFAULT_SEED))

    def select_split(self, split: Split) -> pd.DataFrame:
        """The predictions of a split, a row for each unit."""
        return self.validation if split == "val" else self.predictions

    def describe_split(self, split: Split) -> Protocol:
        """The protocol of metrics that are computed on this split."""
        if split == "test":
            return self.protocol
        units = self.validation
        return replace(
            self.protocol,
            split=SPLIT_NAMES[split],
            images=int(units["images"].sum()),
            units=len(units),
            malignant=int(units["label"].sum()),
            patients=units["patient_id"].nunique(),
        )

    @property
    def printed_threshold(self) -> str:
        """The threshold with enough digits to reproduce every decision on the test split."""
        return format_threshold(self.threshold, self.predictions["prob"].to_numpy())


def name_models(models: Sequence[TrainedModel]) -> list[str]:
    """Name each model for tables and figures. Models of one name are told apart by the end of their run's id."""
    counts = Counter(model.model for model in models)
    return [
        model.model if counts[model.model] == 1 else f"{model.model} [{model.run.rpartition('_')[2]}]"
        for model in models
    ]


@dataclass(frozen=True)
class DatasetFacts:
    """What a run records of the dataset that it tests on."""

    dataset: str  # its name
    protocol: str
    dataset_hash: str
    split_hash: str
    synthetic: bool


@dataclass(frozen=True)
class _Facts(DatasetFacts):
    """What environment.json must say of a trained model."""

    minutes_before: float = 0.0


@dataclass(frozen=True)
class _Result:
    """What status.json says of the model."""

    model: str
    weights: str
    parameters: int
    threshold: FiniteFloat
    threshold_rule: str


def open_trained_model(run: Run, unit: Unit = "image") -> TrainedModel:
    """Read a finished run. Its outputs are verified first. The threshold is that of validation in the same unit."""
    refuse_leak_lab(run)
    run.check_outputs()
    if not run.predictions_file("test").is_file():
        raise DataError(
            f"{run.id} is a trial of a study and has no test predictions",
            hint="train the winner of the study and use that run",
        )
    validation, test = (read_predictions(run.predictions_file(split)) for split in ("val", "test"))
    units = group_by_unit(validation, unit)
    result = _read_record(_Result, run.read_status().result, run, "status.json")
    facts = _read_record(_Facts, dict(run.read_environment()), run, "environment.json")
    threshold, rule = result.threshold, result.threshold_rule
    if unit != "image":
        threshold = choose_threshold(rule, units["label"].to_numpy(), units["prob"].to_numpy())
    return TrainedModel(
        run=run.id,
        stage=run.read_stage(),
        model=result.model,
        weights=result.weights,
        parameters=result.parameters,
        minutes=measure_minutes_of_work(run),
        threshold=threshold,
        validation=units,
        predictions=group_by_unit(test, unit),
        settings=run.read_settings(),
        protocol=build_protocol(facts, test, rule, unit),
    )


def _read_record(kind: type[T], values: Mapping[str, Any], run: Run, file: str) -> T:
    try:
        return build_record(kind, values)
    except ValueError:
        raise RunError(
            f"{run.folder / file} is damaged", hint=f"restore the file, or repeat the run: {run.describe_restart()}"
        ) from None


def read_dataset_facts(run: Run) -> DatasetFacts:
    return _read_record(DatasetFacts, dict(run.read_environment()), run, "environment.json")


def build_protocol(
    facts: DatasetFacts, predictions: pd.DataFrame, threshold_rule: str, unit: Unit = "image"
) -> Protocol:
    """Build the protocol of the predictions for these images, counted in units."""
    units = group_by_unit(predictions, unit)
    return Protocol(
        dataset=facts.dataset,
        arrangement=facts.protocol,
        dataset_hash=facts.dataset_hash,
        split_hash=facts.split_hash,
        synthetic=facts.synthetic,
        images=len(predictions),
        units=len(units),
        malignant=int(units["label"].sum()),
        patients=predictions["patient_id"].nunique(),
        threshold_rule=threshold_rule,
        unit=unit,
    )
