"""Train a random forest on the embeddings of a trained model

Extracts the embeddings of each image from the frozen model of a training run and fits a forest to them: one more row
in every comparison. A logistic regression and boosted trees are available too.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Stage
from tfm.core.settings.base import POSITIONAL, Settings, TrainedRun
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, LearnerSettings, Projection


class Forest(Settings):
    backbone: Annotated[TrainedRun, POSITIONAL]
    """Which training run is the backbone?
    The forest uses its dataset, split, cache and threshold rule."""
    learning: LearnerSettings = LearnerSettings()
    projection: Projection = "pca"
    """How should the embeddings be projected for the figure: pca or tsne?
    pca: the two directions with the highest variance among the training images. tsne: neighbours stay close; it
    takes longer."""
    seed: int = DEFAULT_SEED
    """Seed of the trees"""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=Forest, pipeline="tfm.pipelines.forest:train_forest", version=3)
