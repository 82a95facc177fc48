"""Compare trained models in one table

One table for each protocol: models that were tested on unlike data are never ranked against each other.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.schema import POSITIONAL, RunWithPredictions, Settings


class Compare(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models to compare
    None named: every finished one of the workspace."""


COMMAND = Stage(settings=Compare, pipeline="tfm.pipelines.compare:compare", version=2)
