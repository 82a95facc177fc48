"""What a table says about a network: how large it is and where its weights come from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from tfm.models.settings import FILE, FROM_SCRATCH, IMAGENET


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def origin(weights: str) -> str:
    """Which patients a file's weights have seen is not known, and is said."""
    if weights == FROM_SCRATCH:
        return "none: from scratch"
    if weights == IMAGENET:
        return "ImageNet"
    return f"{Path(weights.removeprefix(FILE)).name}: origin unknown"
