"""torchvision's names for a network's tensors, in timm's words. Its ResNets have the same ones already."""

from __future__ import annotations

import re

import torch

Tensors = dict[str, torch.Tensor]

# DenseNet files of before 2018 call a layer's parts norm.1 where they are norm1 today.
_OLD_DENSENET = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)")
_EFFICIENTNET = "features.1.0.block.0.0.weight"
_COUNTER = "num_batches_tracked"  # missing in old files


def convert_to_timm(given: Tensors, wanted: list[str]) -> Tensors:
    """`wanted` are all names of the network, in its own order. Whether the tensors fit is not judged here."""
    if _EFFICIENTNET in given and "conv_stem.weight" in wanted:
        return _in_order(given, wanted)
    return {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in given.items()}


def _in_order(given: Tensors, wanted: list[str]) -> Tensors:
    """Both EfficientNets hold the same tensors in the same order, that in which an image passes them."""
    tensors = [tensor for name, tensor in given.items() if not name.endswith(_COUNTER)]
    names = [name for name in wanted if not name.endswith(_COUNTER)]
    return dict(zip(names, tensors, strict=True)) if len(names) == len(tensors) else given
