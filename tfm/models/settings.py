"""What a person may choose about a network. Building it stands in build, its weights come through weights."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tfm.core.settings import IMPORTANT, NoEffect, Reads, Settings

FROM_SCRATCH, IMAGENET, FILE, RUN = "none", "imagenet", "file:", "run:"

_ZOO = {"mammocnn": "MammoCNN"}  # a file of the zoo, and how its network is called


@functools.cache
def architectures() -> frozenset[str]:
    """Ours and timm's, read from their files: importing timm takes seconds, and this is asked at a keystroke."""
    installed = importlib.util.find_spec("timm")
    if installed is None or installed.origin is None:
        raise ValueError("timm is not installed: python -m pip install -r requirements.txt")
    names = set(_ZOO)
    for path in (Path(installed.origin).parent / "models").glob("*.py"):
        names |= set(re.findall(r"^@register_model\ndef (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return frozenset(names)


def in_zoo(architecture: str) -> bool:
    return architecture.lower() in _ZOO


def _architecture(text: str) -> str:
    """timm's names may carry the name of their weights: resnet18.a1_in1k."""
    if in_zoo(text):
        return _ZOO[text.lower()]
    if text.partition(".")[0] in architectures():
        return text
    close = difflib.get_close_matches(text.lower(), architectures(), n=3)
    advice = f"did you mean {' or '.join(close)}?" if close else "choose MammoCNN or a timm name"
    raise ValueError(f"there is no architecture called {text!r}; {advice}")


def _source(text: str) -> str:
    if text in (FROM_SCRATCH, IMAGENET) or re.fullmatch(rf"{RUN}\w[\w.-]*", text):
        return text
    if not text.startswith(FILE):
        raise ValueError(f"choose {FROM_SCRATCH}, {IMAGENET}, {RUN}ID or {FILE}PATH")
    path = Path(text.removeprefix(FILE)).expanduser().resolve()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return f"{FILE}{path}"


Architecture = Annotated[str, AfterValidator(_architecture)]
Weights = Annotated[str, AfterValidator(_source), Reads("weights"), IMPORTANT]


class ModelSettings(Settings):
    architecture: Architecture = "MammoCNN"
    """Which network to train
    MammoCNN, or any name that timm knows (resnet18, densenet121, efficientnet_b3, …)."""
    weights: Weights = FROM_SCRATCH
    """Weights to start from: none, imagenet, run:ID or file:PATH
    none: from scratch. imagenet: timm's own, fetched once from the Hugging Face hub and kept on this machine.
    run:ID: the best checkpoint of a run of yours; the women it has seen count as seen.
    file:PATH: a .safetensors or .pth file with this network's weights. A classifier is never taken over."""
    trained: Literal["all", "last_stage", "none"] = "all"
    """Which part of the network is trained
    all: every layer. last_stage: the last stage and the classifier; the layers below stay as they are, their batch
    statistics too. none: a logistic regression on the network's frozen features takes the classifier's place."""
    dropout: Annotated[float, Field(ge=0, lt=1), NoEffect("trained", "none")] = 0.0
    """Share of the last features that is dropped at random while training
    In MammoCNN it rises evenly over the four stages up to this share."""
