"""The settings of networks: architecture, weights, trained part, head.
Building a network is in `build`; loading its weights is in `weights`."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.settings.base import IMPORTANT, Input, NoEffectWhen, Settings

FROM_SCRATCH, IMAGENET, FILE, RUN = "none", "imagenet", "file:", "run:"

Trained = Literal["all", "last_stage", "head", "none"]

ZOO = {"mammocnn": "MammoCNN", "swin_pico": "swin_pico"}  # file in zoo/ → name of the network


@functools.cache
def list_architectures() -> frozenset[str]:
    """List the zoo's and timm's names, read from timm's files: importing timm takes too long for a keystroke."""
    installed = importlib.util.find_spec("timm")
    if installed is None or installed.origin is None:
        raise ValueError("timm is not installed: python -m pip install -r requirements.txt")
    names = set(ZOO)
    for path in (Path(installed.origin).parent / "models").glob("*.py"):
        names |= set(re.findall(r"^@register_model\ndef (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return frozenset(names)


def is_zoo_model(architecture: str) -> bool:
    return architecture.lower() in ZOO


def _parse_architecture(text: str) -> str:
    """Check the name; timm's may include that of their weights, as in resnet18.a1_in1k."""
    if is_zoo_model(text):
        return ZOO[text.lower()]
    if text.partition(".")[0] in list_architectures():
        return text
    close = difflib.get_close_matches(text.lower(), list_architectures(), n=3)
    advice = f"did you mean {' or '.join(close)}?" if close else f"choose {', '.join(ZOO.values())} or a timm name"
    raise ValueError(f"there is no architecture {text!r}; {advice}")


def _parse_weights(text: str) -> str:
    if text in (FROM_SCRATCH, IMAGENET) or re.fullmatch(rf"{RUN}\w[\w.-]*", text):
        return text
    if not text.startswith(FILE):
        raise ValueError(f"choose {FROM_SCRATCH}, {IMAGENET}, {RUN}ID or {FILE}PATH")
    path = Path(text.removeprefix(FILE)).expanduser().resolve()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: choose the file with the weights in it")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return f"{FILE}{path}"


Architecture = Annotated[str, AfterValidator(_parse_architecture)]
Weights = Annotated[str, AfterValidator(_parse_weights), Input("weights"), IMPORTANT]


class ModelSettings(Settings):
    architecture: Architecture = "MammoCNN"
    """Which architecture do you want to train?
    MammoCNN, swin_pico (a Swin small enough for a CPU), or any architecture of timm (resnet18, densenet121,
    efficientnet_b3, …)."""
    weights: Weights = FROM_SCRATCH
    """Which weights should training start from: none, imagenet, run:ID or file:PATH?
    none: from scratch. imagenet: from a package for tf_efficientnet_lite0, else downloaded once from the Hugging Face
    hub and kept on this machine. run:ID: the best checkpoint of one of your runs; the patients it has seen count as
    seen. file:PATH: a .safetensors or .pth file with weights of this architecture. The classifier is never loaded.
    Images are normalised as those that the weights were trained on."""
    trained: Trained = "all"
    """Which part of the network should be trained?
    all: every layer. last_stage: the last stage and the classifier; the layers before them stay frozen, including
    their batch statistics. head: only the classifier, with its hidden layer if it has one. none: a logistic regression
    on the network's frozen features replaces the classifier."""
    freeze_batch_norm: Annotated[
        bool, NoEffectWhen("trained", "head", "none"), NoEffectWhen("weights", FROM_SCRATCH)
    ] = False
    """Should batch normalisation keep the statistics and scales of the first weights?
    Small batches of mammograms would change them. It suits fine-tuning with a low learning rate."""
    head: Annotated[Annotated[int, Field(ge=1)] | None, NoEffectWhen("trained", "none")] = None
    """How wide should a hidden layer before the classifier be, for example 128?
    It always starts from random weights, like the classifier. None: no hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1), NoEffectWhen("trained", "none")] = 0.0
    """Which share of the last features should be dropped at random during training?
    With a hidden layer, dropout comes after it. In MammoCNN without one, it rises evenly over the four stages up to
    this share."""
    max_pooling: bool = False
    """Pool the last features by their maximum too, beside their average?
    The classifier then sees twice as many features, and small bright lesions count more. For Swin encoders and most
    convolutional networks of timm."""
    lesion_guidance: Literal["none", "stride16", "stride8"] = "none"
    """Should the model learn from the lesion masks too, and on which feature map?
    none: from the labels alone. stride16: each place of 16 × 16 pixels is classified as background, benign or
    malignant, and the image's score joins the most malignant places with the pooled features. stride8: places of 8 × 8
    pixels, for small lesions. Images without a lesion in their mask teach the pooled features alone."""

    @property
    def stride(self) -> int | None:
        """The stride of the feature map that learns from lesion masks."""
        return None if self.lesion_guidance == "none" else int(self.lesion_guidance.removeprefix("stride"))

    @model_validator(mode="after")
    def _check_weights_exist(self) -> Self:
        if self.weights == IMAGENET and is_zoo_model(self.architecture):
            raise SettingsError(
                f"there are no ImageNet weights for {self.architecture}",
                hint=f"train it from scratch ({hints.setting('weights', FROM_SCRATCH)}) or from a file "
                f"({hints.setting('weights', FILE + 'PATH')})",
                fields=("weights",),
            )
        return self


def _parse_backbone(text: str) -> str:
    if is_zoo_model(text):
        raise ValueError(
            f"{text} cannot be a backbone: choose a timm name, such as resnet34, resnet50 or efficientnet_b3"
        )
    return _parse_architecture(text)


class SegmenterSettings(Settings):
    """DeepLabV3+ around a timm backbone."""

    backbone: Annotated[str, AfterValidator(_parse_backbone)] = "resnet34"
    """Which backbone should DeepLabV3+ use?
    A convolutional network of timm: resnet34, resnet50, efficientnet_b3, convnext_tiny, …"""
    weights: Annotated[str, AfterValidator(_parse_weights), Input("weights"), IMPORTANT] = FROM_SCRATCH
    """Which weights should training start from: none, imagenet, run:ID or file:PATH?
    none: from scratch. imagenet: from a package for tf_efficientnet_lite0, else downloaded once from the Hugging Face
    hub and kept on this machine. run:ID: the best checkpoint of one of your runs: a classifier with this backbone, or a
    segmenter with the same classes. The patients it has seen count as seen: a run that has seen patients of this
    validation or test set is refused, for example a classifier trained on the same split.
    file:PATH: a .safetensors or .pth file with weights of the backbone or of a whole segmenter."""
    trained: Literal["all", "decoder"] = "all"
    """Which part should be trained?
    all: every layer. decoder: all but the backbone, which stays frozen."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Which share of the pooled features should be dropped at random during training?"""

    @property
    def classifier(self) -> ModelSettings:
        """The backbone as a classifier, which is what its weights belong to."""
        return ModelSettings(architecture=self.backbone, weights=self.weights)
