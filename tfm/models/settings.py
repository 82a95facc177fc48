"""What a person may choose about a network. Building it stands in build, its weights come through weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tfm.core.settings import IMPORTANT, Reads, Settings

FROM_SCRATCH, IMAGENET, FILE = "none", "imagenet", "file:"


def _source(text: str) -> str:
    if text in (FROM_SCRATCH, IMAGENET):
        return text
    if not text.startswith(FILE):
        raise ValueError(f"choose {FROM_SCRATCH}, {IMAGENET} or {FILE}PATH")
    path = Path(text.removeprefix(FILE)).expanduser().resolve()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return f"{FILE}{path}"


class ModelSettings(Settings):
    architecture: str = "MammoCNN"
    """Which network to train
    MammoCNN, or any name that timm knows (resnet18, densenet121, efficientnet_b3, …)."""
    weights: Annotated[str, AfterValidator(_source), Reads("weights"), IMPORTANT] = FROM_SCRATCH
    """Weights to start from: none, imagenet or file:PATH
    none: from scratch. imagenet: timm's own, fetched once from the Hugging Face hub and kept on this machine.
    file:PATH: a .safetensors or .pth file with this network's weights; its classifier is never taken over."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the last features that is dropped at random while training
    In MammoCNN it rises evenly over the four stages up to this share."""
