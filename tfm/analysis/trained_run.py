"""What a run that trained left behind, read as one thing, and the protocol its figures stand under."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tfm.analysis.predictions import read_predictions
from tfm.analysis.threshold import describe_rule, format_threshold
from tfm.core.errors import DataError
from tfm.core.runs.run import Run
from tfm.training.inputs.lineage import minutes_of_work

_PHANTOMS = (
    "these images are phantoms: the figures say nothing about performance on real mammograms; "
    "organize a download of CBIS-DDSM for that"
)


@dataclass(frozen=True)
class Protocol:
    """Figures may be ranked against each other where these are equal, and only there."""

    dataset: str = field(compare=False)  # a name; the content is what counts
    arranged: str  # as the dataset says it was: split, lesions, labels
    dataset_hash: str
    split_hash: str
    synthetic: bool
    images: int
    malignant: int
    women: int
    threshold_rule: str
    split: str = "test"
    unit: str = "image"

    @property
    def words(self) -> str:
        return self.of_data(
            f"{self.whom}; 95 % intervals by bootstrap over women (of a figure that is exactly 0 or 1: Clopper-Pearson "
            "over women, of the AUC over pairs of women); "
            f"threshold chosen on validation ({describe_rule(self.threshold_rule)})"
        )

    @property
    def whom(self) -> str:
        return f"{self.split}, per {self.unit}: {self.images} images ({self.malignant} malignant) of {self.women} women"

    def of_data(self, told: str) -> str:
        """What is told, in the same breath as of which data."""
        said = f"dataset {self.dataset} ({self.arranged}; {self.dataset_hash[:8]}), split {self.split_hash[:8]}; {told}"
        return f"{said}; {_PHANTOMS}" if self.synthetic else said


@dataclass(frozen=True)
class TrainedModel:
    run: str
    model: str
    weights: str
    parameters: int
    minutes: float  # of work
    threshold: float
    predictions: pd.DataFrame  # of the test split
    protocol: Protocol

    @property
    def written_threshold(self) -> str:
        """Whoever counts again with it counts the same."""
        return format_threshold(self.threshold, self.predictions["prob"].to_numpy())


def open_trained_model(run: Run) -> TrainedModel:
    """A done run that left predictions: that it is one is seen to where runs are named."""
    run.check_outputs()
    if not run.predictions_file("test").is_file():
        raise DataError(
            f"{run.id} is a trial of a study: of the test it predicts nothing",
            hint="train the study's winner, and look at that",
        )
    predictions = read_predictions(run.predictions_file("test"))
    status = run.read_status()
    result = status.result
    return TrainedModel(
        run=run.id,
        model=result["model"],
        weights=result["weights"],
        parameters=result["parameters"],
        minutes=minutes_of_work(run),
        threshold=result["threshold"],
        predictions=predictions,
        protocol=build_protocol(run.read_environment(), predictions, result["threshold_rule"]),
    )


def build_protocol(environment: dict[str, Any], predictions: pd.DataFrame, threshold_rule: str) -> Protocol:
    return Protocol(
        dataset=environment["dataset"],
        arranged=environment["protocol"],
        dataset_hash=environment["dataset_hash"],
        split_hash=environment["split_hash"],
        synthetic=environment["synthetic"],
        images=len(predictions),
        malignant=int(predictions["label"].sum()),
        women=predictions["patient_id"].nunique(),
        threshold_rule=threshold_rule,
    )
