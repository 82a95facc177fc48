"""Settings of the analysis of predictions, as questions and help texts."""

from __future__ import annotations

from typing import Literal

from tfm.core.settings.base import Settings

Split = Literal["val", "test"]
Unit = Literal["image", "breast", "patient"]


class UnitSettings(Settings):
    unit: Unit = "image"
    """What do you want to count: images, breasts or patients?
    image: each mammogram. breast: its probability is the mean over its images. patient: the probability is that of the
    patient's more suspicious breast. A breast or a patient is malignant if one of its images is. The threshold is
    chosen on validation in the same unit."""
