"""How much memory it takes to train a network: measured in one pass, with numbers or with shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class MemoryUse:
    """In bytes. A GPU's libraries take their own share on top: some hundred MB, whatever the network."""

    network: int  # the weights; of those that are trained also the gradient and the optimizer's two moments
    images: int  # what is kept for the way back; and the largest map twice, as it comes and as its gradient goes


class MemoryMeter:
    """What goes through a network while it is watched."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._kept: dict[int, torch.UntypedStorage] = {}
        self._largest = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        with ExitStack() as held:
            for module in self.network.modules():
                held.callback(module.register_forward_hook(self._measure).remove)
            held.enter_context(torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor))
            yield

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._kept[storage._cdata] = storage
        return tensor

    def _measure(self, _module: nn.Module, _given: Any, made: Any) -> None:
        if isinstance(made, torch.Tensor):
            self._largest = max(self._largest, made.nbytes)

    @property
    def footprint(self) -> MemoryUse:
        state = self.network.state_dict().values()
        weights = {tensor.untyped_storage()._cdata for tensor in state}
        numbers: int = sum(tensor.nbytes for tensor in state)
        moving: int = sum(tensor.nbytes for tensor in self.network.parameters() if tensor.requires_grad)
        kept: int = sum(storage.nbytes() for name, storage in self._kept.items() if name not in weights)
        return MemoryUse(numbers + 3 * moving, kept + 2 * self._largest)
