"""Measure how much memory training a network takes, in one forward pass with real or `meta` tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class MemoryUse:
    """In bytes. A GPU's libraries need some hundred MB more, for any network."""

    network: int  # weights; for trained ones also the gradient and the optimizer's two moments
    images: int  # tensors saved for the backward pass, and the largest map with its gradient


class MemoryMeter:
    """Record the tensors of a forward pass."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._saved: dict[int, torch.UntypedStorage] = {}
        self._largest = 0

    @contextmanager
    def watch(self) -> Iterator[None]:
        def save(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            self._saved[storage._cdata] = storage
            return tensor

        def record_output(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                self._largest = max(self._largest, output.nbytes)

        with ExitStack() as hooks:
            for module in self.network.modules():
                hooks.callback(module.register_forward_hook(record_output).remove)
            hooks.enter_context(torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor))
            yield

    def measure(self) -> MemoryUse:
        state = self.network.state_dict().values()
        weights = {tensor.untyped_storage()._cdata for tensor in state}
        state_bytes: int = sum(tensor.nbytes for tensor in state)
        trained_bytes: int = sum(tensor.nbytes for tensor in self.network.parameters() if tensor.requires_grad)
        saved_bytes: int = sum(storage.nbytes() for name, storage in self._saved.items() if name not in weights)
        return MemoryUse(state_bytes + 3 * trained_bytes, saved_bytes + 2 * self._largest)
