"""Write the curves of training as files for TensorBoard

One curve for each figure of each run, with the times at which they were told. The runs themselves stay as they are.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.schema import POSITIONAL, Settings, TrainedRun


class Tensorboard(Settings):
    runs: Annotated[list[TrainedRun], POSITIONAL, Field(min_length=1)]
    """Which train runs to write for TensorBoard
    None named: every finished one of the workspace."""


COMMAND = Stage(settings=Tensorboard, pipeline="tfm.pipelines.tensorboard:write_tensorboard", version=1)
