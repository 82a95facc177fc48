"""Average the predictions of several trained models

Each image gets the mean of the models' probabilities. The average is one more row in every comparison.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, Input, Settings

Member = Annotated[str, Input("run", made_by=("train", "forest"))]


def _check_several(runs: list[str]) -> list[str]:
    if len(set(runs)) < 2:
        raise ValueError("choose at least two models")
    return list(dict.fromkeys(runs))


class Average(Settings):
    runs: Annotated[list[Member], POSITIONAL, AfterValidator(_check_several)]
    """Which trained models do you want to average?
    All count the same. They must be trained and tested on the same split. If you name none, all complete ones in the
    workspace are used."""


COMMAND = Stage(settings=Average, pipeline="tfm.pipelines.average:average", version=2)
