"""Facts about a network before training: size, memory, explanation layer. Measured on a network without numbers.

What kind of network it is, its preset says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tfm.models.build import build_model
from tfm.models.features import is_channels_last
from tfm.models.freezing import freeze, set_train_mode
from tfm.models.memory import MemoryMeter
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


def build_card(settings: ModelSettings, in_size: tuple[int, int], batch_size: int) -> ModelCard:
    with torch.device("meta"):  # shapes and types only: takes no memory and little time
        network = build_model(settings, in_size)
    freeze(network, settings.trained)
    return build_card_of_network(network, in_size, batch_size)


def build_card_of_network(network: nn.Module, in_size: tuple[int, int], batch_size: int) -> ModelCard:
    """Describe a network that was built on torch's device "meta"."""
    images = torch.empty(batch_size, 1, *in_size, device="meta")
    set_train_mode(network)
    meter, probe = MemoryMeter(network), _ExplanationProbe(network)
    with meter.watch(), probe.watch():
        network(images)
    use = meter.measure()
    return ModelCard(
        parameters=count_parameters(network),
        trained=count_parameters(network, trained=True),
        in_size=in_size,
        batch_size=batch_size,
        memory=use.network + use.images,
        explanation_layer=probe.layer,
        layout=probe.layout,
    )


def count_parameters(network: nn.Module, *, trained: bool = False) -> int:
    return sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad or not trained)


def find_explanation_layer(network: nn.Module) -> str | None:
    """Return the name of the module that outputs the last feature map, if the network declares one."""
    features: Any = getattr(network, "feature_info", None)
    name = features[-1]["module"] if features else None
    return name if name in dict(network.named_modules()) else None


def describe_weights(weights: str, unknown: Sequence[str] = ()) -> str:
    """Describe where weights come from; the patients seen by a file's weights are unknown, and this is stated."""
    if weights == FROM_SCRATCH:
        return "none: from scratch"
    if weights == IMAGENET:
        return "ImageNet"
    if weights.startswith(RUN):
        return "; ".join([f"run {weights.removeprefix(RUN)}", *(f"{name}: origin unknown" for name in unknown)])
    return f"{Path(weights.removeprefix(FILE)).name}: origin unknown"


class _ExplanationProbe:
    """Watch a forward pass to check that the explanation layer outputs a map, and in which layout."""

    def __init__(self, network: nn.Module) -> None:
        self._network, self._name = network, find_explanation_layer(network)
        self.layer: str | None = None
        self.layout: str | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        if self._name is None:
            yield
            return
        hook = self._network.get_submodule(self._name).register_forward_hook(self._inspect)
        yield
        hook.remove()

    def _inspect(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
            return  # several scales, or one number per channel: no map
        features: Any = self._network.feature_info
        last = is_channels_last(self._network)
        if output.ndim == 4 and output.shape[3 if last else 1] != features[-1]["num_chs"]:
            return  # the network declares another number of channels: which axes are spatial is unknown
        self.layout = "NLC" if output.ndim == 3 else "NHWC" if last else "NCHW"
        self.layer = self._name
