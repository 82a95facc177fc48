"""Ask whether a test set can tell models apart

For the time before training. Computes the smallest difference in AUC that the test images of a dataset can show, and
how many patients would show a smaller one. After training, compare says the same from the models' own scores.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tfm.analysis.settings import UnitSettings
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, DatasetName, Settings

CHANCE = 0.5


class Power(Settings):
    dataset: Annotated[DatasetName, POSITIONAL]
    """Which dataset will the models be tested on?"""

    auc: Annotated[float, Field(gt=CHANCE, lt=1), IMPORTANT] = 0.8
    """Which AUC do you expect of the better model?"""

    difference: Annotated[float, Field(gt=0, lt=1 - CHANCE), IMPORTANT] = 0.05
    """Which difference in AUC between two models would matter to you?"""

    model_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.6
    """How alike are the errors of the two models, from 0 to 1?
    The correlation of their scores among the images of one label. Networks that are trained on the same images are
    often between 0.5 and 0.8. The more alike, the smaller the difference that a test can show."""

    patient_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """How alike are the scores of two images of a patient, from 0 to 1?
    The more alike, the less a second image of a patient tells."""

    units: UnitSettings = UnitSettings()

    @model_validator(mode="after")
    def _check_other_model(self) -> Self:
        if self.auc - self.difference < CHANCE:
            raise SettingsError(
                f"with an AUC of {self.auc:g} and a difference of {self.difference:g}, the other model is worse than "
                "chance",
                hint=f"choose a smaller difference, such as {hints.setting('difference', 0.05)}, or a higher AUC",
                fields=("auc", "difference"),
            )
        return self


COMMAND = Stage(settings=Power, pipeline="tfm.pipelines.power:compute_power", version=1)
