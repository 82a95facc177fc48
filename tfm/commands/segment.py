"""Segment lesions, and measure how well

Trains DeepLabV3+ on the lesion masks, and chooses the probability from which a pixel counts as lesion on validation,
for each class by Dice. Reports metrics on the test images beside trivial baselines, pictures, and a probability for
each image, so that the model can be compared with classification models.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Repeat, Stage
from tfm.core.settings.base import CacheName, Input, Settings
from tfm.data.settings import TrainingDataset, ValidationFold
from tfm.models.settings import SegmenterSettings
from tfm.training.settings import (
    CONTINUED,
    DEFAULT_SEED,
    YOUDEN,
    MachineSettings,
    Seed,
    SegmentationSettings,
    SegmenterBatchSettings,
    SupervisedOptimizerSettings,
    ThresholdRule,
)


class Segment(Settings):
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images and lesion masks do you want to use?"""
    fold: ValidationFold = 1
    lesions: SegmentationSettings = SegmentationSettings()
    model: SegmenterSettings = SegmenterSettings()
    batches: SegmenterBatchSettings = SegmenterBatchSettings()
    optim: SupervisedOptimizerSettings = SupervisedOptimizerSettings()
    threshold: ThresholdRule = YOUDEN
    seed: Seed = DEFAULT_SEED
    machine: MachineSettings = MachineSettings()
    extends: Annotated[Annotated[str, Input("run", made_by=("segment",))] | None, CONTINUED] = None


COMMAND = Stage(
    settings=Segment,
    pipeline="tfm.pipelines.segment:segment",
    version=5,
    presets="models",
    default_preset="DeepLabV3Plus",
    extends_by="epochs",
    is_distributed=True,
    compared_by="compare",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.count_folds:count_folds"), Repeat("seeds", "seed")),
)
