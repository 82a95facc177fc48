"""Cross several factors, and contrast the outcomes

Builds a plan from a YAML file: each combination of levels with several seeds, then a table with paired differences.
Complete runs are reused, so seeds can be added at any time.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tfm.core.registry import Planner
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, InputPath, Settings
from tfm.data.settings import TrainingCache, TrainingDataset


class Experiment(Settings):
    file: Annotated[InputPath, POSITIONAL]
    """Which file describes the experiment?
    Examples are in configs/experiments: a plan, the settings of all runs, and factors, each with its levels. Each
    combination is compared with the one that differs only in the last factor: by its first level, and by the level
    before."""
    dataset: TrainingDataset
    cache: TrainingCache
    seeds: Annotated[int, Field(ge=1), IMPORTANT] = 3
    """How many seeds?
    Each combination runs once for each seed."""
    settings: dict[str, Any] = {}  # noqa: RUF012
    """More settings of all runs, as in {mim_epochs: 5}
    They override the settings in the file."""


COMMAND = Planner(settings=Experiment, pipeline="tfm.pipelines.experiment:plan_experiment")
