"""Contrast ways to train, woman by woman

The mean of each way's runs, and paired differences between ways: what an experiment ends with.
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
    """Which trained models to contrast
    None named: every finished one of the workspace."""
    ways: list[str] = []  # noqa: RUF012
    """What each of them stands for, in the same order, with commas between
    Runs of the same name, as those of several seeds, are one way. None named: each is one by itself."""
    against: dict[str, list[str]] = {}  # noqa: RUF012
    """Which way is compared with which, as in {MIM: [none]}
    Woman by woman: the difference is above zero where the first of the two is higher."""
    explained: list[Explanation] = []  # noqa: RUF012
    """The explanations of these runs, in any order
    With them, how much the networks look outside the breast is contrasted too. None named: it is not."""

    @model_validator(mode="after")
    def _each_run_stands_for_one_way(self) -> Self:
        ways = self.ways or self.runs
        if len(ways) != len(self.runs):
            raise SettingsError(
                f"ways: there are {len(ways)} for {len(self.runs)} run{'s' * (len(self.runs) > 1)}",
                hint="name one for each run, in the same order",
                fields=("ways",),
            )
        named = self.against.keys() | set(itertools.chain(*self.against.values()))
        unknown = named - set(ways)
        if unknown:
            raise SettingsError(
                f"against: no run stands for {', '.join(sorted(unknown))}",
                hint=f"the ways are: {', '.join(dict.fromkeys(ways))}",
                fields=("against",),
            )
        return self


COMMAND = Stage(settings=Contrast, pipeline="tfm.pipelines.contrast:contrast", version=2)
