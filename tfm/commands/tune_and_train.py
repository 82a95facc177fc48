"""Search a model's settings, then train it with the best ones

A plan of two runs: the study, and its winner with all the epochs of the model's preset. What is done already counts.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tfm.commands.tune import Tune
from tfm.core.registry import planner
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.schema import IMPORTANT, CacheName, DatasetName, Settings
from tfm.core.settings.serialize import collect_non_default_values
from tfm.training.settings import MachineSettings


class TuneAndTrain(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    search: str = "any"
    """Which search: a preset of tune
    It says which model, and which of its settings are searched."""
    trials: Annotated[int, Field(ge=1), IMPORTANT] = 20
    """How many trials, in all"""
    machine: MachineSettings = MachineSettings()


@planner
def tune_and_train(settings: TuneAndTrain, workspace: Workspace) -> list[Step]:
    preset = workspace.load_preset("tune", settings.search)
    model = preset.settings.get("model", Tune.model_fields["model"].default)
    shared = collect_non_default_values(settings.machine)  # the rest is as the model's preset has it
    given: dict[str, Any] = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    return [
        Step("study", "tune", given | {"trials": settings.trials} | shared, preset.name),
        Step("winner", "train", {"study": "@study.run"} | shared, model),
    ]
