"""Grow a random forest on what a trained network sees

Takes the network of a train run as it stands, keeps what it makes of each image, and lets a forest learn from that: a
row of its own in every comparison. A logistic regression and boosted trees come by the same door.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Stage
from tfm.core.settings.schema import POSITIONAL, Settings, TrainedRun
from tfm.training.settings import DEFAULT_SEED, DeviceSettings, LearnerSettings, Projection


class Forest(Settings):
    backbone: Annotated[TrainedRun, POSITIONAL]
    """The train run whose network sees the images
    Its dataset, its split and its cache are the forest's too, and so is its rule for the threshold."""
    learning: LearnerSettings = LearnerSettings()
    projection: Projection = "pca"
    """How the figure brings the embeddings onto paper
    pca: along the two directions in which the training images differ most. tsne: so that neighbours stay neighbours; it
    takes longer."""
    seed: int = DEFAULT_SEED
    """Seed of the trees"""
    machine: DeviceSettings = DeviceSettings()


COMMAND = Stage(settings=Forest, pipeline="tfm.pipelines.forest:train_forest", version=3)
