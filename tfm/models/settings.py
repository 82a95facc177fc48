"""What a person may choose about a network. Building it stands in build, its weights come through weights."""

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
from tfm.core.settings.schema import IMPORTANT, Input, NoEffectWhen, Settings

FROM_SCRATCH, IMAGENET, FILE, RUN = "none", "imagenet", "file:", "run:"

Trained = Literal["all", "last_stage", "head", "none"]

_ZOO = {"mammocnn": "MammoCNN", "swin_pico": "swin_pico"}  # a file of the zoo, and how its network is called


@functools.cache
def list_architectures() -> frozenset[str]:
    """Ours and timm's, read from their files: importing timm takes seconds, and this is asked at a keystroke."""
    installed = importlib.util.find_spec("timm")
    if installed is None or installed.origin is None:
        raise ValueError("timm is not installed: python -m pip install -r requirements.txt")
    names = set(_ZOO)
    for path in (Path(installed.origin).parent / "models").glob("*.py"):
        names |= set(re.findall(r"^@register_model\ndef (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return frozenset(names)


def is_zoo_model(architecture: str) -> bool:
    return architecture.lower() in _ZOO


def _architecture(text: str) -> str:
    """timm's names may carry the name of their weights: resnet18.a1_in1k."""
    if is_zoo_model(text):
        return _ZOO[text.lower()]
    if text.partition(".")[0] in list_architectures():
        return text
    close = difflib.get_close_matches(text.lower(), list_architectures(), n=3)
    advice = f"did you mean {' or '.join(close)}?" if close else "choose MammoCNN, swin_pico or a timm name"
    raise ValueError(f"there is no architecture called {text!r}; {advice}")


def _source(text: str) -> str:
    if text in (FROM_SCRATCH, IMAGENET) or re.fullmatch(rf"{RUN}\w[\w.-]*", text):
        return text
    if not text.startswith(FILE):
        raise ValueError(f"choose {FROM_SCRATCH}, {IMAGENET}, {RUN}ID or {FILE}PATH")
    path = Path(text.removeprefix(FILE)).expanduser().resolve()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file of weights in it")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return f"{FILE}{path}"


Architecture = Annotated[str, AfterValidator(_architecture)]
Weights = Annotated[str, AfterValidator(_source), Input("weights"), IMPORTANT]


class ModelSettings(Settings):
    architecture: Architecture = "MammoCNN"
    """Which network to train
    MammoCNN, swin_pico (a Swin small enough for a CPU), or any name that timm knows (resnet18, densenet121,
    efficientnet_b3, …)."""
    weights: Weights = FROM_SCRATCH
    """Weights to start from: none, imagenet, run:ID or file:PATH
    none: from scratch. imagenet: timm's own, fetched once from the Hugging Face hub and kept on this machine.
    run:ID: the best checkpoint of a run of yours; the women it has seen count as seen.
    file:PATH: a .safetensors or .pth file with this network's weights. A classifier is never taken over."""
    trained: Trained = "all"
    """Which part of the network is trained
    all: every layer. last_stage: the last stage and the classifier; the layers below stay as they are, their batch
    statistics too. head: the classifier alone, with its hidden layer where it has one. none: a logistic regression on
    the network's frozen features takes the classifier's place."""
    head: Annotated[Annotated[int, Field(ge=1)] | None, NoEffectWhen("trained", "none")] = None
    """Width of a hidden layer before the classifier, 128 for example
    It is always learned anew, as the classifier is. None: the classifier reads the last features as they are."""
    dropout: Annotated[float, Field(ge=0, lt=1), NoEffectWhen("trained", "none")] = 0.0
    """Share of the last features that is dropped at random while training
    Where there is a hidden layer, behind that one. Else in MammoCNN it rises evenly over the four stages up to this
    share."""

    @model_validator(mode="after")
    def _can_have_those_weights(self) -> Self:
        if self.weights == IMAGENET and is_zoo_model(self.architecture):
            raise SettingsError(
                f"there are no ImageNet weights for {self.architecture}",
                hint=f"train it from scratch ({hints.setting('weights', FROM_SCRATCH)}) or from a file "
                f"({hints.setting('weights', FILE + 'PATH')})",
                fields=("weights",),
            )
        return self


def _backbone(text: str) -> str:
    if is_zoo_model(text):
        raise ValueError(f"{text} is no backbone: choose a timm name, such as resnet34, resnet50 or efficientnet_b3")
    return _architecture(text)


class SegmenterSettings(Settings):
    """DeepLabV3+ around a network that timm knows."""

    backbone: Annotated[str, AfterValidator(_backbone)] = "resnet34"
    """Network that DeepLabV3+ looks through
    A convolutional network that timm knows: resnet34, resnet50, efficientnet_b3, convnext_tiny, …"""
    weights: Annotated[str, AfterValidator(_source), Input("weights"), IMPORTANT] = FROM_SCRATCH
    """Weights to start from: none, imagenet, run:ID or file:PATH
    none: from scratch. imagenet: timm's own for the backbone, fetched once from the Hugging Face hub and kept on this
    machine. run:ID: the best checkpoint of a run of yours, be it of the backbone, trained to tell benign from
    malignant, or of a whole segmenter with the same classes; the women it has seen count as seen, so one that
    has seen this validation or test, as a classifier of the same split has, is refused.
    file:PATH: a .safetensors or .pth file with the backbone's weights or a whole segmenter's."""
    trained: Literal["all", "decoder"] = "all"
    """Which part is trained
    all: every layer. decoder: all but the backbone, which stays as its weights were."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the pooled features that is dropped at random while training"""

    @property
    def classifier(self) -> ModelSettings:
        """The network as it stands alone, to which the weights of a backbone belong."""
        return ModelSettings(architecture=self.backbone, weights=self.weights)
