"""Compare what the runs of the leak lab claim

The last step of leak-lab: for each way to split, the AUC that it would claim beside the AUC on patients that no run has
seen.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, Input, Settings

LeakRun = Annotated[str, Input("run", made_by=("leak-training",))]


class LeakComparison(Settings):
    runs: Annotated[list[LeakRun], POSITIONAL, Field(min_length=1)]
    """Which runs of the leak lab do you want to compare?"""


COMMAND = Stage(settings=LeakComparison, pipeline="tfm.pipelines.leak_comparison:compare_leaks", version=1)
