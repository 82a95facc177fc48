"""Contrast ways of training, paired by patient

The mean of each way's runs, and paired differences between ways: the last step of an experiment.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Self

from pydantic import Field, model_validator

from tfm.core.errors import SettingsError
from tfm.core.registry import Stage
from tfm.core.settings.schema import POSITIONAL, Input, RunWithPredictions, Settings

Explanation = Annotated[str, Input("run", made_by=("explain",))]


class Contrast(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models do you want to contrast?
    If none is named: every complete one in the workspace."""
    ways: list[str] = []  # noqa: RUF012
    """The way of training of each run, in the same order, separated by commas
    Runs with the same name, such as several seeds, form one way. If none is named, each run is a way of its own."""
    against: dict[str, list[str]] = {}  # noqa: RUF012
    """Which ways to compare, as in {MIM: [none]}
    The comparison is paired by patient. A difference above zero means that the first way is higher."""
    explained: list[Explanation] = []  # noqa: RUF012
    """The explanations of these runs, in any order
    With them, the attention outside the breast is contrasted too. If none is named, it is not."""

    @model_validator(mode="after")
    def _check_ways(self) -> Self:
        ways = self.ways or self.runs
        if len(ways) != len(self.runs):
            raise SettingsError(
                f"ways: {len(ways)} names for {len(self.runs)} run{'s' * (len(self.runs) > 1)}",
                hint="give one name for each run, in the same order",
                fields=("ways",),
            )
        named = self.against.keys() | set(itertools.chain(*self.against.values()))
        unknown = named - set(ways)
        if unknown:
            raise SettingsError(
                f"against: unknown way {', '.join(sorted(unknown))}",
                hint=f"the ways are: {', '.join(dict.fromkeys(ways))}",
                fields=("against",),
            )
        return self


COMMAND = Stage(settings=Contrast, pipeline="tfm.pipelines.contrast:contrast", version=2)
