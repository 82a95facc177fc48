"""Show where a trained model looks, and measure it

Grad-CAM for each class; for a Swin, the attention of its last block; for a model that learned from lesion masks, its
own map of malignant lesions. Drawn for some images, and scored on all of them against the breast and the lesion mask.
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
    pictures: Annotated[int, Field(ge=3, le=60, multiple_of=3)] = 9
    """How many images should be drawn?
    One third are confident and correct predictions, one third confident and wrong ones, one third random. All
    images are scored."""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=Explain, pipeline="tfm.pipelines.explain:explain", version=3)
