"""Contrast ways of training, paired by patient

The mean of each way's runs, and paired differences between ways: the last step of an experiment.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Self

from pydantic import Field, model_validator

from tfm.analysis.settings import Split, UnitSettings
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, Input, RunWithPredictions, Settings

Explanation = Annotated[str, Input("run", made_by=("explain",))]


class Contrast(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models do you want to contrast?
    If you name none, all complete ones in the workspace are used."""
    ways: list[str] = []  # noqa: RUF012
    """Which way of training does each run belong to?
    One name for each run, in the same order, separated by commas. Runs with the same name, such as several seeds, form
    one way. If you name none, each run is a separate way."""
    against: dict[str, list[str]] = {}  # noqa: RUF012
    """Which ways do you want to compare, for example {MIM: [none]}?
    The comparison is paired by patient. A difference above zero means that the first way is higher."""
    split: Split = "test"
    """On which images do you want to compare them: test or val?
    val: where settings are chosen by the result. The test images then stay unseen until the choice is made."""
    explained: list[Explanation] = []  # noqa: RUF012
    """Which explanations of these runs do you want to include?
    In any order. Their attention outside the breast is then contrasted as well, always image by image."""
    units: UnitSettings = UnitSettings()

    @model_validator(mode="after")
    def _check_ways(self) -> Self:
        ways = self.ways or self.runs
        if len(ways) != len(self.runs):
            raise SettingsError(
                f"ways: {len(ways)} names for {len(self.runs)} run{'s' * (len(self.runs) > 1)}",
                hint="give one name for each run, in the same order",
                fields=("ways",),
            )
        if self.explained and self.split != "test":
            raise SettingsError(
                "explained: explanations are compared on the test images only",
                hint=f"leave them out, or choose {hints.setting('split', 'test')}",
                fields=("explained", "split"),
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


COMMAND = Stage(settings=Contrast, pipeline="tfm.pipelines.contrast:contrast", version=4)
