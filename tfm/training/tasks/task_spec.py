"""What a task is made from, as plain values: classification, segmentation or reconstruction.

The tasks themselves live in the modules beside this one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.models.attention_spectral_loss import SpectralNorms
from tfm.models.features import check_averaging
from tfm.models.head import find_head
from tfm.models.masked_image_model import MaskedImageModel
from tfm.models.model_spec import ClassifierSpec, NetworkSpec, Spec
from tfm.models.record_attention import find_attentions
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.inputs.settings import LabelSettings
from tfm.training.settings import BreastSettings, LesionSettings, MaskSettings, SegmentationSettings
from tfm.training.tasks import Task
from tfm.training.tasks.breast_aware_classification import BreastAwareClassification
from tfm.training.tasks.classification import Classification, compute_malignant_weight
from tfm.training.tasks.lesion_guided_classification import LesionGuidedClassification
from tfm.training.tasks.reconstruction import Reconstruction
from tfm.training.tasks.segmentation import make_segmentation
from tfm.training.tasks.semi_supervised import SemiSupervised, Teacher
from tfm.training.tasks.two_view_classification import TwoViewClassification

if TYPE_CHECKING:
    from tfm.training.recipe import TrainingRecipe


class TaskSpec(Spec):
    def check_model(self, model: NetworkSpec) -> None:
        """Raise an error where the task cannot use this model."""

    def for_evaluation(self) -> Self:
        """The task that gives the same predictions with the fewest terms."""
        return self


class ClassificationSpec(TaskSpec):
    kind: Literal["classification"] = "classification"
    label_smoothing: float = 0.0
    weigh_classes: bool = True  # benign and malignant weigh the same in the loss
    breast: BreastSettings = BreastSettings()
    labels: LabelSettings = LabelSettings()
    two_views: bool = False
    lesions: LesionSettings | None = None  # of a lesion-guided classifier that is trained

    def check_model(self, model: NetworkSpec) -> None:
        assert isinstance(model, ClassifierSpec)
        if self.breast != BreastSettings():
            _check_averaging(model.without_weights())
        if self.two_views:
            _check_single_head(model.without_weights())
        if model.settings.stride:
            _check_place_map(model.without_weights())

    def for_evaluation(self) -> Self:
        plain = {"breast": BreastSettings(pooling=self.breast.pooling), "lesions": None, "weigh_classes": False}
        return self.model_copy(update=plain)

    def make_plain(self, labels: np.ndarray) -> Classification:
        """Make the task without the terms of breasts, lesions and unlabelled images."""
        kind = TwoViewClassification if self.two_views else Classification
        return kind(self.label_smoothing, compute_malignant_weight(labels) if self.weigh_classes else 1.0)

    def build(self, network: nn.Module, recipe: TrainingRecipe) -> Task:
        labels = np.array([sample.label for sample in recipe.data.train])
        plain = self.make_plain(labels)
        task: Task = plain
        if self.breast != BreastSettings():
            if recipe.machine.compile:
                raise SettingsError(
                    "a model that uses the breast mask is called part by part and cannot be compiled",
                    hint=f"leave it as it is: {hints.setting('compile', False)}",
                    fields=("compile",),
                )
            if self.breast.attention_gamma:
                find_attentions(network)  # raises an error where the network has no attention
            task = BreastAwareClassification(plain, self.breast, SpectralNorms(network) if self.breast.beta else None)
        elif self.lesions:
            task = LesionGuidedClassification(plain, self.lesions)
        if (labels == UNKNOWN).any():
            teacher = Teacher(network) if self.labels.unlabelled == "consistency" else None
            if teacher and recipe.machine.devices * recipe.machine.nodes > 1:
                raise SettingsError(
                    "a mean teacher averages batch statistics too, and these differ between several processes",
                    hint=f"train on one device ({hints.setting('devices', 1)} {hints.setting('nodes', 1)}), "
                    f"or without it: {hints.setting('unlabelled', 'pseudo')} or ignore",
                    fields=("devices", "nodes"),
                )
            task = SemiSupervised(task, self.labels, teacher)
        return task


@functools.cache  # an experiment checks many combinations of settings with the same network
def _check_averaging(model: ClassifierSpec) -> None:
    check_averaging(model.build(), model.in_size)


@functools.cache
def _check_single_head(model: ClassifierSpec) -> None:
    """Refuse a network without one classifier at which the views are joined."""
    network = model.build()
    try:
        find_head(network)
    except SettingsError as error:
        raise SettingsError(
            f"{type(network).__name__} has no single linear classifier at which two views could be joined",
            hint="choose another network, such as resnet18 or tf_efficientnet_lite0, or classify each image alone: "
            f"{hints.setting('two_views', False)}",
            fields=("architecture", "two_views"),
        ) from error


@functools.cache
def _check_place_map(model: ClassifierSpec) -> None:
    """Refuse an encoder without the map whose places are classified."""
    with torch.device("meta"):
        model.build()(torch.empty(2, 1, *model.in_size))


class SegmentationSpec(TaskSpec):
    kind: Literal["segmentation"] = "segmentation"
    label_smoothing: float = 0.0
    settings: SegmentationSettings
    pixels: tuple[int, ...]  # how many pixels of each mask value the training images have

    def build(self, network: nn.Module, recipe: TrainingRecipe) -> Task:
        pixels, images = np.array(self.pixels), len(recipe.data.train)
        return make_segmentation(self.settings, self.label_smoothing, pixels, images)


class ReconstructionSpec(TaskSpec):
    kind: Literal["reconstruction"] = "reconstruction"
    masks: MaskSettings
    loss_on: Literal["breast", "masked"]
    beta: float

    def build(self, network: nn.Module, recipe: TrainingRecipe) -> Task:
        assert isinstance(network, MaskedImageModel)
        norms = SpectralNorms(network.encoder) if self.beta else None
        return Reconstruction(self.masks, self.loss_on, self.beta, norms, recipe.model.in_size)
