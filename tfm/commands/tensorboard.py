"""Export training curves for TensorBoard

One curve for each metric of each run, with its recorded times. The runs themselves stay as they are.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, Settings, TrainedRun


class Tensorboard(Settings):
    runs: Annotated[list[TrainedRun], POSITIONAL, Field(min_length=1)]
    """Which training runs do you want to export?
    If you name none, all complete ones in the workspace are used."""


COMMAND = Stage(settings=Tensorboard, pipeline="tfm.pipelines.tensorboard:write_tensorboard", version=1)
