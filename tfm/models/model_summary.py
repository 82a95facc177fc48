"""Facts about a network before training: size, memory, explanation layer. Measured on a network without numbers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tfm.models.build import build_model
from tfm.models.features import is_channels_last
from tfm.models.freezing import freeze, freeze_batch_norm, set_train_mode
from tfm.models.memory import MemoryMeter
from tfm.models.normalisation import Colours
from tfm.models.settings import FILE, FROM_SCRATCH, IMAGENET, RUN, ModelSettings


@dataclass(frozen=True)
class ModelCard:
    parameters: int
    trained: int  # how many of them are trained
    in_size: tuple[int, int]  # height, width
    batch_size: int
    memory: int  # bytes to train on one batch, approximately
    explanation_layer: str | None  # name of the module that outputs the last feature map
    layout: str | None  # of that map: NCHW, NHWC, or NLC for a list of patches

    def describe_size(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.trained:,} of them trained; ≈ {self.memory / 2**30:.1f} GiB with "
            f"batch size {self.batch_size}"
        )


@functools.cache  # a study trains the same network again and again
def build_card(settings: ModelSettings, in_size: tuple[int, int], batch_size: int, colours: Colours = ()) -> ModelCard:
    with torch.device("meta"):  # shapes and types only: takes no memory and little time
        network = build_model(settings, in_size, colours)
        freeze(network, settings.trained)
        if settings.freeze_batch_norm:
            freeze_batch_norm(network)
    return build_card_of_network(network, in_size, batch_size)


def build_card_of_network(network: nn.Module, in_size: tuple[int, int], batch_size: int) -> ModelCard:
    """Describe a network that was built on torch's device "meta"."""
    images = torch.empty(batch_size, 1, *in_size, device="meta")
    set_train_mode(network)
    meter, layer, layout = MemoryMeter(network), find_explanation_layer(network), None

    def record_layout(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal layout
        layout = _find_layout(network, output)

    hook = network.get_submodule(layer).register_forward_hook(record_layout) if layer is not None else None
    with meter.watch():
        network(images)
    if hook is not None:
        hook.remove()
    use = meter.measure()
    return ModelCard(
        parameters=count_parameters(network),
        trained=count_parameters(network, trained=True),
        in_size=in_size,
        batch_size=batch_size,
        memory=use.network + use.images,
        explanation_layer=layer if layout else None,
        layout=layout,
    )


def count_parameters(network: nn.Module, *, trained: bool = False) -> int:
    return sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad or not trained)


def find_explanation_layer(network: nn.Module) -> str | None:
    """Return the name of the module that outputs the last feature map, if the network declares one."""
    features: Any = getattr(network, "feature_info", None)
    name = features[-1]["module"] if features else None
    return name if name in dict(network.named_modules()) else None


def describe_weights(weights: str, unknown: Sequence[str] = ()) -> str:
    """Describe the origin of weights, and name the files of which nobody knows which patients they have seen."""
    if weights == FROM_SCRATCH:
        return "none: from scratch"
    if weights == IMAGENET:
        return "ImageNet"
    name = f"run {weights.removeprefix(RUN)}" if weights.startswith(RUN) else Path(weights.removeprefix(FILE)).name
    return "; ".join([*([] if name in unknown else [name]), *(f"{file}: origin unknown" for file in unknown)])


def _find_layout(network: nn.Module, output: Any) -> str | None:
    """Return the layout of the explanation layer's output, or None if that is not a map whose axes are known."""
    if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
        return None
    if output.ndim == 3:
        return "NLC"
    features: Any = network.feature_info
    last = is_channels_last(network)
    if output.shape[3 if last else 1] != features[-1]["num_chs"]:
        return None
    return "NHWC" if last else "NCHW"
