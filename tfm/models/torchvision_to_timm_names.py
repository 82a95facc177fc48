"""Translate torchvision's names of tensors to timm's. ResNets use the same names in both."""

from __future__ import annotations

import re

import torch

Tensors = dict[str, torch.Tensor]

# DenseNet files from before 2018 name a layer's parts norm.1, today norm1.
_OLD_DENSENET = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)")
_EFFICIENTNET = "features.1.0.block.0.0.weight"
_COUNTER = "num_batches_tracked"  # missing in old files


def is_efficientnet(tensors: Tensors) -> bool:
    """Whether these are torchvision's names of an EfficientNet's tensors."""
    return _EFFICIENTNET in tensors


def convert_to_timm(tensors: Tensors, names: list[str]) -> Tensors:
    """Rename tensors; `names` are all names of the network, in its own order. Shapes are not checked."""
    if is_efficientnet(tensors) and "conv_stem.weight" in names:
        # Both EfficientNets list the same tensors in forward order.
        values = [tensor for name, tensor in tensors.items() if not name.endswith(_COUNTER)]
        names = [name for name in names if not name.endswith(_COUNTER)]
        return dict(zip(names, values, strict=True)) if len(names) == len(values) else tensors
    return {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
