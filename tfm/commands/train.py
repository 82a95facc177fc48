"""Train a model on a preprocessed dataset

Ends with the probabilities of the best checkpoint for validation and test, and with a threshold chosen on validation.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Repeat, Stage
from tfm.core.settings.schema import Settings, StudyRun, TrainedRun
from tfm.data.settings import TrainingCache, TrainingDataset, ValidationFold
from tfm.models.settings import ModelSettings
from tfm.training.settings import (
    DEFAULT_SEED,
    NOT_IN_A_REGRESSION,
    NOTHING_DRAWN,
    YOUDEN,
    BreastSettings,
    ClassifierBatchSettings,
    LabelSettings,
    MachineSettings,
    SupervisedOptimizerSettings,
    ThresholdRule,
)


class Train(Settings):
    dataset: TrainingDataset
    cache: TrainingCache
    fold: ValidationFold = 1
    model: ModelSettings = ModelSettings()
    batches: ClassifierBatchSettings = ClassifierBatchSettings()
    optim: Annotated[SupervisedOptimizerSettings, NOT_IN_A_REGRESSION] = SupervisedOptimizerSettings()
    breast: Annotated[BreastSettings, NOT_IN_A_REGRESSION] = BreastSettings()
    labels: LabelSettings = LabelSettings()
    tta: bool = False
    """Average the predictions of each image and its mirror image?
    For validation (and so for the threshold) and for the test."""
    threshold: ThresholdRule = YOUDEN
    """How the threshold is chosen from which on an image is called malignant: youden or sensitivity:S
    On the validation images. youden: where sensitivity and specificity add up to most. sensitivity:0.9: as high as it
    can be while 90 of 100 malignant images are found; the share is yours to choose."""
    seed: Annotated[int, NOTHING_DRAWN] = DEFAULT_SEED
    """Seed of everything random: initial weights, order, augmentation, dropout"""
    machine: MachineSettings = MachineSettings()
    extends: Annotated[TrainedRun | None, NOT_IN_A_REGRESSION] = None
    """The run that this one goes on from
    From its last checkpoint, with more epochs. The learning rate follows the curve of the new number of epochs, so it
    leaps up where the old run had come to the end of its own; patience begins anew."""
    study: StudyRun | None = None
    """Which study's winner is this?
    The settings of its best trial apply and cannot be changed. Its dataset, cache and fold are the defaults.
    Patients seen by the study count as seen."""
    trial: str | None = None
    """The trial of a study that this run is (set by the study)
    Such a run ends with its validation: nothing is predicted for the test while settings are still being chosen."""

    @model_validator(mode="after")
    def _check_balance(self) -> Self:
        if self.model.trained == "none" and self.batches.balance == "sampling":
            raise SettingsError(
                "balance: a regression on frozen features has no epochs, so it cannot resample images",
                hint=f"use weights, which has the same effect: {hints.setting('balance', 'weights')}",
                fields=("balance",),
            )
        return self


COMMAND = Stage(
    settings=Train,
    pipeline="tfm.pipelines.train:train",
    version=7,
    presets="models",
    extends_by="epochs",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.folds:count_folds"), Repeat("seeds", "seed")),
)
