"""Train a model on a preprocessed dataset

Ends with the probabilities of the best checkpoint for validation and test, and a threshold chosen on validation.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Repeat, Stage
from tfm.core.settings.schema import CacheName, DatasetName, Settings, StudyRun, TrainedRun
from tfm.models.settings import ModelSettings
from tfm.training.settings import (
    DEFAULT_SEED,
    NOT_IN_A_REGRESSION,
    NOTHING_DRAWN,
    YOUDEN,
    BatchSettings,
    BreastSettings,
    LabelSettings,
    MachineSettings,
    OptimSettings,
    ThresholdRule,
)


class Train(Settings):
    dataset: DatasetName
    """Dataset that says who is in which split"""
    cache: CacheName
    """Preprocessed images to train on"""
    fold: Annotated[int, Field(ge=1)] = 1
    """Fold for validation, of a dataset with folds; the others are for training
    A dataset without folds has this one only: as it is arranged."""
    model: ModelSettings = ModelSettings()
    batches: BatchSettings = BatchSettings()
    optim: Annotated[OptimSettings, NOT_IN_A_REGRESSION] = OptimSettings()
    breast: Annotated[BreastSettings, NOT_IN_A_REGRESSION] = BreastSettings()
    labels: LabelSettings = LabelSettings()
    tta: bool = False
    """Predict each image twice, as it is and mirrored, and take the mean
    For validation, and with it the threshold, as for the test."""
    threshold: ThresholdRule = YOUDEN
    """How the threshold is chosen from which on an image is called malignant: youden or sensitivity:S
    On the validation images. youden: where sensitivity and specificity add up to most. sensitivity:0.9: as high as it
    can be while 90 of 100 malignant images are found; the share is yours to choose."""
    seed: Annotated[int, NOTHING_DRAWN] = DEFAULT_SEED
    """Seed of everything random: first weights, order, augmentation, dropout"""
    machine: MachineSettings = MachineSettings()
    extends: Annotated[TrainedRun | None, NOT_IN_A_REGRESSION] = None
    """The run that this one goes on from
    From its last checkpoint, with more epochs. The learning rate follows the curve of the new number of epochs, so it
    leaps up where the old run had come to the end of its own; patience begins anew."""
    study: StudyRun | None = None
    """The study whose winner this is
    What its best trial was set to holds, and cannot be said otherwise; its dataset, cache and fold hold where nothing
    else is said. The women the study has seen count as seen."""
    trial: str | None = None
    """The trial of a study that this run is, said by the study itself
    It ends with its validation: of the test nothing is predicted while there is still something to choose."""

    @model_validator(mode="after")
    def _is_sampled_in_epochs(self) -> Self:
        if self.model.trained == "none" and self.batches.balance == "sampling":
            raise SettingsError(
                "balance: a regression on frozen features has no epochs in which images could be taken again",
                hint=f"leave it as it is, which weighs the same: {hints.setting('balance', 'weights')}",
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
