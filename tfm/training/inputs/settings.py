"""Settings of the labels that a training uses, as questions and help texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.settings.base import NoEffectWhen, Settings
from tfm.training.settings import NOT_IN_A_REGRESSION

LabelPercent = Annotated[
    float,
    Field(
        gt=0,
        le=100,
        description="Percentage of the training patients whose labels are kept\nShows how a model does with few "
        "labels. Patients with and without a malignant image are drawn alike. Validation and test keep all labels. "
        "100: all patients.",
    ),
]
Unlabelled = Annotated[
    Literal["ignore", "pseudo", "consistency"],
    Field(
        description="How should the images without a label be used?\nignore: not at all. pseudo: where the model is "
        "confident, its prediction serves as the label. consistency: its prediction should equal that of its own "
        "moving average for the mirrored image (mean teacher)."
    ),
]


class LabelSettings(Settings):
    label_percent: LabelPercent = 100.0
    unlabelled: Annotated[
        Unlabelled,
        NoEffectWhen("label_percent", 100),
        NoEffectWhen("balance", "sampling"),  # which takes labelled images only
        NOT_IN_A_REGRESSION,
    ] = "ignore"
    confidence: Annotated[float, Field(gt=0.5, lt=1), NoEffectWhen("unlabelled", "ignore", "consistency")] = 0.95
    """Probability from which a prediction for an unlabelled image counts as confident"""
    unlabelled_weight: Annotated[float, Field(gt=0), NoEffectWhen("unlabelled", "ignore")] = 1.0
    """Weight of an unlabelled image in the loss
    A labelled image has weight 1."""
