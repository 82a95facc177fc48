"""Cross several factors, and contrast the outcomes

Makes a plan of a YAML file: every combination of levels, by several seeds, and at the end a table with paired
differences. What is done already counts: more seeds may be added at any time.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tfm.core.registry import Planner
from tfm.core.settings.schema import IMPORTANT, POSITIONAL, CacheName, DatasetName, InputPath, Settings


class Experiment(Settings):
    file: Annotated[InputPath, POSITIONAL]
    """File that says what is varied
    Those that ship are in configs/experiments: a plan, the settings that hold throughout, and factors, each with its
    levels. Every way is compared with those that have the first level of the last factor and the level before its own,
    and else are the same."""
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    seeds: Annotated[int, Field(ge=1), IMPORTANT] = 3
    """How many seeds?
    A run of each combination for each, counted up."""
    settings: dict[str, Any] = {}  # noqa: RUF012
    """Other settings that hold throughout, as in {mim_epochs: 5}
    They take the place of the file's."""


COMMAND = Planner(settings=Experiment, pipeline="tfm.pipelines.experiment:plan_experiment")
