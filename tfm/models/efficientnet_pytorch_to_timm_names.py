"""Translate the names of tensors in files of the library EfficientNet-PyTorch to those of timm's networks.
Its weights were trained in TensorFlow, whose padding timm's networks named tf_… reproduce."""

from __future__ import annotations

import torch

Tensors = dict[str, torch.Tensor]

_MARK = "_conv_stem.weight"
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_WIDENED = {  # the parts of a block that first widens its channels
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_NOT_WIDENED = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def is_efficientnet(tensors: Tensors) -> bool:
    """Whether these are the library's names of an EfficientNet's tensors."""
    return _MARK in tensors


def convert_to_timm(tensors: Tensors, names: list[str]) -> Tensors:
    """Rename tensors; `names` are all names of the network, in its own order. A tensor without a counterpart keeps its
    name. Shapes are not checked."""
    # timm numbers blocks within their stage, as in blocks.2.0; the library counts them all, as in _blocks.3.
    blocks = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in names if name.startswith("blocks.")))
    return {_rename(name, tensors, blocks): tensor for name, tensor in tensors.items()}


def _rename(name: str, tensors: Tensors, blocks: list[str]) -> str:
    part, _, rest = name.partition(".")
    if part in _OUTSIDE:
        return f"{_OUTSIDE[part]}.{rest}"
    if part != "_blocks":
        return name
    number, layer, last = rest.split(".", 2)
    is_widened = f"_blocks.{number}._expand_conv.weight" in tensors
    layers = _SQUEEZE | (_WIDENED if is_widened else _NOT_WIDENED)
    if int(number) >= len(blocks) or layer not in layers:
        return name
    return f"{blocks[int(number)]}.{layers[layer]}.{last}"
