"""Export a trained model for use outside this program

Writes a folder to hand on: the weights (safetensors), the model as ONNX with its normalisation inside, a model card
with metrics and limits, and a sample script with an image to try it. The ONNX model is checked against this program on
test images of the run.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, Settings, TrainedRun


class Export(Settings):
    run: Annotated[TrainedRun, POSITIONAL]
    """Which training run do you want to export?
    Its dataset and cache are needed to check the exported model."""
    onnx: Annotated[bool, IMPORTANT] = True
    """Should the model be exported as ONNX too?
    It takes the pixels of one preprocessed image and returns the probability of malignancy. A model that classifies two
    views together, or that needs the breast mask, can only be exported as safetensors."""
    images: Annotated[int, Field(ge=1, le=1000)] = 32
    """On how many test images should the ONNX model be compared with this program?"""


COMMAND = Stage(settings=Export, pipeline="tfm.pipelines.export:export", version=1)
