"""Run an experiment: all combinations of several factors

Builds a plan from a YAML file: each combination of levels with several seeds, then a table of paired differences.
Complete runs are reused, so seeds can be added at any time.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tfm.core.registry import Planner
from tfm.core.settings.base import IMPORTANT, POSITIONAL, InputPath, Settings
from tfm.data.settings import TrainingCache, TrainingDataset


class Experiment(Settings):
    file: Annotated[InputPath, POSITIONAL]
    """Which file describes the experiment?
    Examples are in configs/experiments. A file names a plan, the settings of all runs, and factors with their levels.
    Each combination is compared with two that differ only in the last factor: the one with its first level, and the
    one with the level before."""
    dataset: TrainingDataset
    cache: TrainingCache
    seeds: Annotated[int, Field(ge=1), IMPORTANT] = 3
    """How many seeds?
    Each combination runs once for each seed."""
    settings: dict[str, Any] = {}  # noqa: RUF012
    """Which other settings should all runs have, for example {mim_epochs: 5}?
    They override the settings in the file."""


COMMAND = Planner(settings=Experiment, pipeline="tfm.pipelines.experiment:plan_experiment")
