"""Train a model on a preprocessed dataset

Ends with the probabilities of the best checkpoint for validation and test, and with a threshold chosen on validation.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Repeat, Stage
from tfm.core.settings.base import NoEffectWhen, Settings, StudyRun, TrainedRun
from tfm.data.settings import TrainingCache, TrainingDataset, ValidationFold
from tfm.models.settings import ModelSettings
from tfm.training.inputs.settings import LabelSettings
from tfm.training.settings import (
    CONTINUED,
    DEFAULT_SEED,
    NOT_IN_A_REGRESSION,
    NOTHING_DRAWN,
    YOUDEN,
    BreastSettings,
    ClassifierBatchSettings,
    LesionSettings,
    MachineSettings,
    Seed,
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
    lesions: Annotated[LesionSettings, NOT_IN_A_REGRESSION, NoEffectWhen("lesion_guidance", "none")] = LesionSettings()
    labels: LabelSettings = LabelSettings()
    two_views: Annotated[bool, NOT_IN_A_REGRESSION] = False
    """Classify both views of a breast together?
    CC and MLO go through the same network, and its classifier sees the average of their features, so both images of a
    breast get the same probability. A breast with one view is classified by that one. An epoch takes twice as long."""
    tta: bool = False
    """Average the predictions of each image and its mirror image?
    On the validation images, and so for the threshold, and on the test images."""
    threshold: ThresholdRule = YOUDEN
    seed: Annotated[Seed, NOTHING_DRAWN] = DEFAULT_SEED
    machine: MachineSettings = MachineSettings()
    extends: Annotated[TrainedRun | None, NOT_IN_A_REGRESSION, CONTINUED] = None
    study: StudyRun | None = None
    """Which study found the settings for this model?
    The settings of its best trial apply and cannot be changed. The study's dataset, cache and fold are the defaults.
    Patients that the study has seen count as seen."""
    trial: str | None = None
    """Which trial of a study is this run? (set by the study)
    Such a run ends after validation: nothing is predicted on the test set while settings are still being chosen."""

    @model_validator(mode="after")
    def _check_balance(self) -> Self:
        if self.model.trained == "none" and self.batches.balance == "sampling":
            raise SettingsError(
                "balance: a regression on frozen features has no epochs, so it cannot resample images",
                hint=f"use weights, which has the same effect: {hints.setting('balance', 'weights')}",
                fields=("balance",),
            )
        return self

    @model_validator(mode="after")
    def _check_pooling_and_guidance(self) -> Self:
        if self.model.stride and self.breast != BreastSettings():
            raise SettingsError(
                "a model that learns from lesion masks cannot use the breast mask as well",
                hint=f"choose {hints.setting('lesion_guidance', 'none')}, or leave these as they are: "
                f"{', '.join(map(hints.setting, BreastSettings.model_fields))}",
                fields=("lesion_guidance", *BreastSettings.model_fields),
            )
        if self.model.max_pooling and self.breast != BreastSettings():
            raise SettingsError(
                "the maximum of the last features cannot be taken over the breast alone",
                hint=f"choose {hints.setting('max_pooling', False)}, or leave these as they are: "
                f"{', '.join(map(hints.setting, BreastSettings.model_fields))}",
                fields=("max_pooling", *BreastSettings.model_fields),
            )
        if self.lesions.tile and self.labels.unlabelled == "consistency":
            raise SettingsError(
                "a mean teacher predicts whole images, which cannot be compared with tiles",
                hint=f"choose {hints.setting('tile', 'none')}, or {hints.setting('unlabelled', 'pseudo')}",
                fields=("tile", "unlabelled"),
            )
        if self.model.stride and self.machine.compile:
            raise SettingsError(
                "a model that learns from lesion masks is called part by part and cannot be compiled",
                hint=f"leave it as it is: {hints.setting('compile', False)}",
                fields=("compile", "lesion_guidance"),
            )
        return self

    @model_validator(mode="after")
    def _check_views(self) -> Self:
        if self.two_views and (self.model.stride or self.breast != BreastSettings()):
            raise SettingsError(
                "a model of two views cannot use the lesion masks or the breast mask as well",
                hint=f"choose {hints.setting('two_views', False)}, or leave these as they are: "
                f"{', '.join(map(hints.setting, ('lesion_guidance', *BreastSettings.model_fields)))}",
                fields=("two_views", "lesion_guidance", *BreastSettings.model_fields),
            )
        if self.two_views and self.machine.compile:
            raise SettingsError(
                "a model of two views is called with a hook and cannot be compiled",
                hint=f"leave it as it is: {hints.setting('compile', False)}",
                fields=("compile", "two_views"),
            )
        return self


COMMAND = Stage(
    settings=Train,
    pipeline="tfm.pipelines.train:train",
    version=8,
    presets="models",
    extends_by="epochs",
    is_distributed=True,
    compared_by="compare",
    repeats=(Repeat("folds", "fold", at_most="tfm.pipelines.count_folds:count_folds"), Repeat("seeds", "seed")),
)
