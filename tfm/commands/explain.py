"""Show where a trained network looks, and measure it

Grad-CAM for each class, and for a Swin the attention of its last block, over the mammograms: drawn for some images, and
scored over all of them against breast and lesion.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, Settings, TrainedRun
from tfm.training.settings import DeviceSettings


class Explain(Settings):
    run: Annotated[TrainedRun, POSITIONAL]
    """Which train run to explain
    Its dataset, its split and its cache are looked at."""
    split: Annotated[Literal["test", "val"], IMPORTANT] = "test"
    """On which images: test or val
    val, for validation, while there is still something to choose."""
    pictures: Annotated[int, Field(ge=3, le=60, multiple_of=3)] = 9
    """How many images to draw
    A third of those it is surest of and right, a third of those it is surest of and wrong, and a third by lot. All
    images are scored."""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=Explain, pipeline="tfm.pipelines.explain:explain", version=2)
