"""Predict mammograms of your own with a trained model

Preprocesses DICOM, PNG, JPEG or TIFF files as the model's training images were, and writes probabilities, verdicts at
the run's threshold and where the model looked, as CSV files and one page. Files that are no mammogram are refused, each
with its reason. For research and teaching, not for diagnosis.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import NOT_IN_RUN_KEY, POSITIONAL, Input, InputPath, Settings
from tfm.training.settings import DeviceSettings

PredictingRun = Annotated[str, Input("run", made_by=("train", "forest", "average"))]


class Predict(Settings):
    run: Annotated[PredictingRun, POSITIONAL]
    """Which trained model do you want to use?
    A run of train, forest or average."""
    paths: Annotated[list[InputPath], POSITIONAL, Field(min_length=1)]
    """Which files or folders do you want to predict?
    DICOM, PNG, JPEG, TIFF or PGM; in a form, separate several by commas. Patient, side and view are read from DICOM
    headers, or from file names like those of CBIS-DDSM (P_00133_LEFT_CC)."""
    pictures: Annotated[int, Field(ge=0, le=1000)] = 100
    """How many images should be shown on the page, with where the model looked?
    Those with the highest probabilities. Each takes about a tenth of a megabyte, and computing time."""
    workers: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], NOT_IN_RUN_KEY] = "auto"
    """How many processes should read and preprocess the files?
    auto: one per core, fewer for few files or little memory. Each needs up to 600 MB."""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=Predict, pipeline="tfm.pipelines.predict:predict", version=1)
