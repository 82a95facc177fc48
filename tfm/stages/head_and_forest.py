"""Train a head and grow a forest on one network, average both

A plan of three runs, each a row in every comparison. What is done already counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tfm.core.plan import Step
from tfm.core.registry import planner
from tfm.core.settings import IMPORTANT, CacheName, DatasetName, Settings
from tfm.core.workspace import Workspace
from tfm.core.written import as_yaml_values
from tfm.models.settings import Weights
from tfm.train.settings import DEFAULT_SEED, DeviceSettings, LearnerSettings


class HeadAndForest(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on
    ResNet50_Head is meant for those of the preprocessing preset resnet."""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    head: str = "ResNet50_Head"
    """Which model's network the forest grows on: a preset of train"""
    weights: Weights | None = None
    """Weights to start from: none, imagenet, run:ID or file:PATH
    None: those that the model's preset names, which for ResNet50_Head are ImageNet's."""
    embedding: Annotated[Literal["pool2048", "dense128"], IMPORTANT] = "pool2048"
    """What of the network the forest learns from
    pool2048: the last feature map, averaged. dense128: what the hidden layer of its head makes of that."""
    learning: LearnerSettings = LearnerSettings()
    seed: int = DEFAULT_SEED
    """Seed of everything random in head and forest"""
    machine: DeviceSettings = DeviceSettings()


@planner
def head_and_forest(settings: HeadAndForest, workspace: Workspace) -> list[Step]:
    shared = {"seed": settings.seed, "machine": as_yaml_values(settings.machine)}
    given: dict[str, Any] = {"dataset": settings.dataset, "cache": settings.cache, "fold": settings.fold}
    given |= {"weights": settings.weights} if settings.weights else {}
    learning = {"embedding": settings.embedding, "learning": as_yaml_values(settings.learning)}
    return [
        Step("head", "train", given | shared, settings.head),
        Step("forest", "forest", {"backbone": "@head.run", **learning, **shared}),
        Step("average", "average", {"runs": ["@head.run", "@forest.run"]}),
    ]
