"""Show where a trained model looks, and measure it

Grad-CAM for each class; for a Swin, the attention of its last block; for a model that learned from lesion masks, its
own map of malignant lesions. Scored on all images against the breast and the lesion mask. Galleries show true and false
positives and negatives, with occlusion as a check beside Grad-CAM.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, Settings, TrainedRun
from tfm.training.settings import DeviceSettings


class Explain(Settings):
    run: Annotated[TrainedRun, POSITIONAL]
    """Which training run do you want to explain?
    Its dataset, split and cache are used."""
    split: Annotated[Literal["test", "val"], IMPORTANT] = "test"
    """Which images should be explained: test or val?
    Use val (validation) while you still choose between models."""
    pictures: Annotated[int, Field(ge=3, le=60)] = 16
    """How many images should be drawn?
    A quarter for each gallery: true positives, false positives, false negatives and true negatives. Half of a gallery
    are its most confident images, the others are random. All images are scored."""
    occlusion: bool = True
    """Should parts of the drawn images be covered, as a check?
    Shows where covering a part of the breast changes the probability, and how well Grad-CAM agrees."""
    occluded_images: Annotated[int, Field(ge=1, le=60)] = 4
    """How many of the drawn images should be covered?
    They come from each gallery in turn, random ones first. Each takes one to two hundred passes through the model, so
    many take long without a GPU."""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=Explain, pipeline="tfm.pipelines.explain:explain", version=5)
