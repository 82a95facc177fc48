"""What a network is built from, as plain values: a classifier, a segmenter or a masked image model.
The values can be written as JSON and read back. What a network is trained for is not described here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict
from torch import nn

from tfm.models.build import build_model
from tfm.models.deeplab import build_segmenter, load_segmenter
from tfm.models.freezing import freeze, freeze_batch_norm
from tfm.models.lesion_guided import get_encoder
from tfm.models.masked_image_model import MaskedImageModel
from tfm.models.normalisation import Colours
from tfm.models.settings import ModelSettings, SegmenterSettings
from tfm.models.weights import load_weights


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSpec(Spec):
    in_size: tuple[int, int]  # height, width
    weights: Path | None = None  # file with the first weights; None: random weights
    colours: Colours = ()  # of the normalisation, where the weights take several channels

    def without_weights(self) -> Self:
        return self.model_copy(update={"weights": None})


class ClassifierSpec(NetworkSpec):
    kind: Literal["classifier"] = "classifier"
    settings: ModelSettings

    def build(self) -> nn.Module:
        """Build the network. Its random weights come from torch's generator: seed that before."""
        return _build_classifier(self)


class SegmenterSpec(NetworkSpec):
    kind: Literal["segmenter"] = "segmenter"
    settings: SegmenterSettings
    classes: tuple[str, ...]

    def build(self) -> nn.Module:
        network = build_segmenter(self.settings, self.classes, self.in_size, self.colours)
        if self.weights is not None:
            load_segmenter(network, self.settings, self.weights, self.colours)
        return network


class MaskedImageModelSpec(NetworkSpec):
    kind: Literal["masked_image_model"] = "masked_image_model"
    settings: ModelSettings  # of the encoder
    block: int  # side of a masked block in pixels
    fill: Literal["token", "zeros"]

    def build(self) -> nn.Module:
        return MaskedImageModel(_build_classifier(self), self.block, self.fill)


def _build_classifier(spec: ClassifierSpec | MaskedImageModelSpec) -> nn.Module:
    network = build_model(spec.settings, spec.in_size, spec.colours)
    if spec.weights is not None:
        load_weights(get_encoder(network), spec.weights)
    freeze(network, spec.settings.trained)
    if spec.settings.freeze_batch_norm:
        freeze_batch_norm(network)
    return network
