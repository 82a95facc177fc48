"""Settings of the analysis of predictions, as questions and help texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.settings.base import DatasetWithFiles, Settings

Split = Literal["val", "test"]
Unit = Literal["image", "breast", "patient"]
ExternalDataset = Annotated[
    DatasetWithFiles | None,
    Field(
        description="On which other dataset do you want to test them?\n"
        "Every image of it is a test image, preprocessed like the training images. Threshold and temperature stay "
        "those of each model. Models that have seen a patient of it are refused. none: on their own test images."
    ),
]


class UnitSettings(Settings):
    unit: Unit = "image"
    """What do you want to count: images, breasts or patients?
    image: each mammogram. breast: its probability is the mean over its images. patient: the probability is that of the
    patient's more suspicious breast. A breast or a patient is malignant if one of its images is. The threshold is
    chosen on validation in the same unit."""
