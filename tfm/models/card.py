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

from tfm.models.build import build
from tfm.models.freezing import freeze, train_mode
from tfm.models.settings import FILE, FROM_SCRATCH, IMAGENET, RUN, ModelSettings


@dataclass(frozen=True)
class Card:
    parameters: int
    trained: int  # of these
    in_size: tuple[int, int]  # height, width
    batch_size: int
    memory: int  # bytes, ≈, to train on one batch
    explanation_layer: str  # the dotted name of the module whose output is the last feature map
    layout: str  # of that map: NCHW, NHWC, or NLC where there is no map but a list of patches


def card_of(settings: ModelSettings, in_size: tuple[int, int], batch_size: int) -> Card:
    with torch.device("meta"):  # shapes and types, no numbers: it takes no memory and hardly any time
        network = build(settings, in_size)
    freeze(network, settings.trained)
    return card_of_network(network, in_size, batch_size)


def card_of_network(network: nn.Module, in_size: tuple[int, int], batch_size: int) -> Card:
    """Of one that was built on torch's device "meta"."""
    images = torch.empty(batch_size, 1, *in_size, device="meta")
    train_mode(network)
    seen = _Seen(network)
    with seen.watching():
        network(images)
    return Card(
        parameters=parameters(network),
        trained=parameters(network, trained=True),
        in_size=in_size,
        batch_size=batch_size,
        memory=memory(network, seen),
        explanation_layer=explanation_layer(network),
        layout=seen.layout,
    )


def parameters(network: nn.Module, *, trained: bool = False) -> int:
    return sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad or not trained)


def explanation_layer(network: nn.Module) -> str:
    features: Any = network.feature_info
    return str(features[-1]["module"])


def origin(weights: str, unknown: Sequence[str] = ()) -> str:
    """Which patients a file's weights have seen is not known, and is said; of a run's too, where they come from one."""
    if weights == FROM_SCRATCH:
        return "none: from scratch"
    if weights == IMAGENET:
        return "ImageNet"
    if weights.startswith(RUN):
        return "; ".join([f"run {weights.removeprefix(RUN)}", *(f"{name}: origin unknown" for name in unknown)])
    return f"{Path(weights.removeprefix(FILE)).name}: origin unknown"


class _Seen:
    """What one pass of a batch through a network brings about: what is kept for the way back, the largest map, the
    layout of the last one."""

    def __init__(self, network: nn.Module) -> None:
        self.kept: dict[int, torch.UntypedStorage] = {}
        self.largest: int = 0
        self.layout = ""
        self._network = network

    @contextmanager
    def watching(self) -> Iterator[None]:
        hooks = [module.register_forward_hook(self._measure) for module in self._network.modules()]
        explained = self._network.get_submodule(explanation_layer(self._network))
        hooks.append(explained.register_forward_hook(self._look))
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            yield
        for hook in hooks:
            hook.remove()

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self.kept[storage._cdata] = storage
        return tensor

    def _measure(self, _module: nn.Module, _given: Any, made: Any) -> None:
        if isinstance(made, torch.Tensor):
            self.largest = max(self.largest, made.nbytes)

    def _look(self, _module: nn.Module, _given: Any, made: torch.Tensor) -> None:
        features: Any = self._network.feature_info
        channels = features[-1]["num_chs"]
        if made.ndim == 3:
            self.layout = "NLC"
        else:
            self.layout = "NCHW" if made.shape[1] == channels else "NHWC"


def memory(network: nn.Module, seen: _Seen) -> int:
    """The weights; of those that are trained also the gradient and the optimizer's two moments; what is kept for the
    way back; and the largest map twice, as it comes and as its gradient goes. A GPU's libraries take their own share
    on top: some hundred MB, whatever the network."""
    weights = {tensor.untyped_storage()._cdata for tensor in network.state_dict().values()}
    kept: int = sum(storage.nbytes() for name, storage in seen.kept.items() if name not in weights)
    numbers: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    moving: int = sum(tensor.nbytes for tensor in network.parameters() if tensor.requires_grad)
    return numbers + 3 * moving + kept + 2 * seen.largest
