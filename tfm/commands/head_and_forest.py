"""Train a head and grow a forest on one network, average both

A plan of three runs, each a row in every comparison. What is done already counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tfm.commands.train import Train, arranged
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import planner
from tfm.core.runs.command_settings import resolve_settings
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.schema import CacheName, DatasetName, ModelName, Settings
from tfm.core.settings.serialize import dump_plain_values
from tfm.models.settings import Weights
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, LearnerSettings


class HeadAndForest(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on
    ResNet50_Head is meant for those of the preprocessing preset resnet."""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    head: ModelName = "ResNet50_Head"
    """Which model's network the forest grows on: a preset of train"""
    weights: Literal["preset"] | Weights = "preset"
    """Weights to start from: preset, none, imagenet, run:ID or file:PATH
    preset: those that the model's preset names, which for ResNet50_Head are ImageNet's. none: from scratch."""
    learning: LearnerSettings = LearnerSettings()
    seed: int = DEFAULT_SEED
    """Seed of everything random in head and forest"""
    machine: DeviceSettings = DeviceSettings()


@planner
def head_and_forest(settings: HeadAndForest, workspace: Workspace) -> list[Step]:
    from tfm.training.embedding_classifier import check_memory
    from tfm.training.inputs.samples import UNKNOWN

    shared = {"seed": settings.seed, "machine": dump_plain_values(settings.machine)}
    given: dict[str, Any] = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    given |= {"weights": settings.weights} if settings.weights != "preset" else {}
    head = resolve_settings(workspace, "train", given | shared, workspace.load_preset("models", settings.head))
    assert isinstance(head, Train)
    if settings.learning.embedding == "dense128" and head.model.head is None:
        raise SettingsError(
            f"the network of {settings.head} has no hidden layer before its classifier",
            hint=f"choose {hints.setting('embedding', 'pool2048')}, or a model with one, as ResNet50_Head has it",
            fields=("embedding", "head"),
        )
    labels = arranged(head, workspace).train.labels
    check_memory(settings.learning, int((labels != UNKNOWN).sum()))  # before a head is trained for it
    learning = {"learning": dump_plain_values(settings.learning)}
    return [
        Step("head", "train", given | shared, settings.head),
        Step("forest", "forest", {"backbone": "@head.run", **learning, **shared}),
        Step("average", "average", {"runs": ["@head.run", "@forest.run"]}),
    ]
