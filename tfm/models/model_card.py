"""What a person is told of a network before it is trained, and a table of it afterwards: how large it is, where its
weights come from, which layer explains it. All of it is read from the network, built without a single number. What kind
of network it is, its preset says."""

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
    trained: int  # of these
    in_size: tuple[int, int]  # height, width
    batch_size: int
    memory: int  # bytes, ≈, to train on one batch
    explanation_layer: str | None  # the dotted name of the module whose output is the last feature map, if there is one
    layout: str | None  # of that map: NCHW, NHWC, or NLC where there is no map but a list of patches


def build_card(settings: ModelSettings, in_size: tuple[int, int], batch_size: int) -> ModelCard:
    with torch.device("meta"):  # shapes and types, no numbers: it takes no memory and hardly any time
        network = build_model(settings, in_size)
    freeze(network, settings.trained)
    return build_card_of_network(network, in_size, batch_size)


def build_card_of_network(network: nn.Module, in_size: tuple[int, int], batch_size: int) -> ModelCard:
    """Of one that was built on torch's device "meta"."""
    images = torch.empty(batch_size, 1, *in_size, device="meta")
    set_train_mode(network)
    passing, explained = MemoryMeter(network), _Explained(network)
    with passing.watched(), explained.watched():
        network(images)
    footprint = passing.footprint
    return ModelCard(
        parameters=count_parameters(network),
        trained=count_parameters(network, trained=True),
        in_size=in_size,
        batch_size=batch_size,
        memory=footprint.network + footprint.images,
        explanation_layer=explained.layer,
        layout=explained.layout,
    )


def count_parameters(network: nn.Module, *, trained: bool = False) -> int:
    return sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad or not trained)


def find_explanation_layer(network: nn.Module) -> str | None:
    """The name of the module that gives the last feature map, where the network says which and has it."""
    features: Any = getattr(network, "feature_info", None)
    name = features[-1]["module"] if features else None
    return name if name in dict(network.named_modules()) else None


def describe_weights(weights: str, unknown: Sequence[str] = ()) -> str:
    """Which patients a file's weights have seen is not known, and is said; of a run's too, where they come from one."""
    if weights == FROM_SCRATCH:
        return "none: from scratch"
    if weights == IMAGENET:
        return "ImageNet"
    if weights.startswith(RUN):
        return "; ".join([f"run {weights.removeprefix(RUN)}", *(f"{name}: origin unknown" for name in unknown)])
    return f"{Path(weights.removeprefix(FILE)).name}: origin unknown"


class _Explained:
    """The layer that explains a network, once an image has passed it and it was found to make a map."""

    def __init__(self, network: nn.Module) -> None:
        self._network, self._name = network, find_explanation_layer(network)
        self.layer: str | None = None
        self.layout: str | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        if self._name is None:
            yield
            return
        hook = self._network.get_submodule(self._name).register_forward_hook(self._look)
        yield
        hook.remove()

    def _look(self, _module: nn.Module, _given: Any, made: Any) -> None:
        if not isinstance(made, torch.Tensor) or made.ndim not in (3, 4):
            return  # several scales at once, or one number a channel: no map
        features: Any = self._network.feature_info
        last = is_channels_last(self._network)
        if made.ndim == 4 and made.shape[3 if last else 1] != features[-1]["num_chs"]:
            return  # not as the network says of itself: which of its sides are a place is not known
        self.layout = "NLC" if made.ndim == 3 else "NHWC" if last else "NCHW"
        self.layer = self._name
