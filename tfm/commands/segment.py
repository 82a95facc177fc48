"""Segment lesions, and measure how well

Trains DeepLabV3+ on the lesion masks. Reports metrics on the test images beside baselines that know nothing,
pictures, and a probability for each image, so that it can be compared with classification models.
"""

from __future__ import annotations

from typing import Annotated

from tfm.core.registry import Repeat, Stage
from tfm.core.settings.schema import CacheName, Input, Settings
from tfm.data.settings import TrainingDataset, ValidationFold
from tfm.models.settings import SegmenterSettings
from tfm.training.settings import (
    DEFAULT_SEED,
    YOUDEN,
    MachineSettings,
    SegmentationSettings,
    SegmenterBatchSettings,
    SupervisedOptimizerSettings,
    ThresholdRule,
)


class Segment(Settings):
    dataset: TrainingDataset
    cache: CacheName
    """Which cache of preprocessed images and lesion masks?"""
    fold: ValidationFold = 1
    lesions: SegmentationSettings = SegmentationSettings()
    model: SegmenterSettings = SegmenterSettings()
    batches: SegmenterBatchSettings = SegmenterBatchSettings()
    optim: SupervisedOptimizerSettings = SupervisedOptimizerSettings()
    threshold: ThresholdRule = YOUDEN
    """How the threshold is chosen from which on an image is called malignant: youden or sensitivity:S
    On the validation images. youden: where sensitivity and specificity add up to most. sensitivity:0.9: as high as it
    can be while 90 of 100 malignant images are found; the share is yours to choose. From which probability on a pixel
    is drawn is chosen there too, for each class by Dice, on those images whose lesions are known."""
    seed: int = DEFAULT_SEED
    """Seed of everything random: initial weights, order, augmentation, tiles, dropout"""
    machine: MachineSettings = MachineSettings()
    extends: Annotated[str, Input("run", made_by=("segment",))] | None = None
    """The run that this one goes on from
    From its last checkpoint, with more epochs. The learning rate follows the curve of the new number of epochs, so it
    leaps up where the old run had come to the end of its own; patience begins anew."""


COMMAND = Stage(
    settings=Segment,
    pipeline="tfm.pipelines.segment:segment",
    version=4,
    presets="models",
    default_preset="DeepLabV3Plus",
    extends_by="epochs",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.folds:count_folds"), Repeat("seeds", "seed")),
)
