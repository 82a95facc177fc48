"""What a finished train run left behind, read as one thing, and the protocol its figures stand under."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tfm.analysis.predict import read_predictions
from tfm.core.errors import DataError
from tfm.core.run import Run

_PHANTOMS = (
    "these images are phantoms: the figures say nothing about performance on real mammograms; "
    "for that, go on with `python wizard.py organize DOWNLOAD`"
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
    split: str = "test"
    unit: str = "image"

    @property
    def words(self) -> str:
        said = (
            f"dataset {self.dataset} ({self.arranged}; {self.dataset_hash[:8]}), split {self.split_hash[:8]}; "
            f"{self.split}, per {self.unit}: {self.images} images ({self.malignant} malignant) of {self.women} women; "
            "95 % intervals by bootstrap over women; threshold chosen on validation"
        )
        return f"{said}; {_PHANTOMS}" if self.synthetic else said


@dataclass(frozen=True)
class Trained:
    run: str
    model: str
    weights: str
    parameters: int
    minutes: float
    threshold: float
    predictions: pd.DataFrame  # of the test split
    protocol: Protocol


def open_trained(run: Run) -> Trained:
    """A done train run: that it is one is seen to where runs are named."""
    if not run.outputs_stand():
        raise DataError(
            f"what {run.id} left behind is no longer there as it was written",
            hint=f"train it again: `python wizard.py runs restart {run.id}`",
        )
    if not run.predictions_file("test").is_file():
        raise DataError(
            f"{run.id} is a trial of a study: of the test it predicts nothing",
            hint="train the study's winner, and look at that",
        )
    predictions = read_predictions(run.predictions_file("test"))
    status = run.status
    result = status.result
    return Trained(
        run=run.id,
        model=result["model"],
        weights=result["weights"],
        parameters=result["parameters"],
        minutes=status.seconds / 60,
        threshold=result["threshold"],
        predictions=predictions,
        protocol=_protocol(run.environment, predictions),
    )


def _protocol(environment: dict[str, Any], predictions: pd.DataFrame) -> Protocol:
    return Protocol(
        dataset=environment["dataset"],
        arranged=environment["protocol"],
        dataset_hash=environment["dataset_hash"],
        split_hash=environment["split_hash"],
        synthetic=environment["synthetic"],
        images=len(predictions),
        malignant=int(predictions["label"].sum()),
        women=predictions["patient_id"].nunique(),
    )
