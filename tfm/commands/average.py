"""Average the predictions of several trained models

Each image gets the mean of what the models say of it: a row of its own in every comparison.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tfm.core.registry import Stage
from tfm.core.settings.schema import POSITIONAL, Input, Settings

Member = Annotated[str, Input("run", made_by=("train", "forest"))]


def _several(runs: list[str]) -> list[str]:
    if len(set(runs)) < 2:
        raise ValueError("an average needs two models at least")
    return list(dict.fromkeys(runs))


class Average(Settings):
    runs: Annotated[list[Member], POSITIONAL, AfterValidator(_several)]
    """Which trained models to average
    Each counts the same. They must have been trained and tested on the same split. None named: every finished one of
    the workspace."""


COMMAND = Stage(settings=Average, pipeline="tfm.pipelines.average:average", version=2)
