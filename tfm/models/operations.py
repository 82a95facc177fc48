"""Count what a network computes for one image, on tensors without numbers: the basis of time estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from tfm.models.freezing import set_train_mode

# Calls that compute nothing: they return another view of the same numbers.
_VIEWS = (
    *("alias", "detach", "view", "reshape", "as_strided", "transpose", "permute", "expand"),
    *("slice", "select", "split", "squeeze"),
)


@dataclass(frozen=True)
class Operations:
    """For one image. Convolutions by channel are apart: their backward pass is several times slower than other work on
    as much memory."""

    arithmetic: float  # 10⁹ floating-point operations of matrix products and of convolutions over all channels
    memory: float  # 10⁹ bytes read and written
    by_channel: float  # 10⁹ bytes that convolutions by channel read and write
    fresh: float  # 10⁹ bytes of new tensors so large that a CPU's memory for them comes from the system each time


_FRESH_BYTES = 2 * 2**20  # of an image's tensor: 32 MiB, where the C library draws the line, for a batch of 16


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, images: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._images = images
        self._operations = self._bytes = self._bytes_by_channel = self._fresh = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        packet, name = func._overloadpacket, func._schema.name.removeprefix("aten::")
        is_grouped = _is_grouped(name, args)
        if packet in flop_registry and not is_grouped:
            self._operations += flop_registry[packet](*args, **given, out_val=result)
        if not any(word in name for word in _VIEWS):
            read, written = _list_tensors((args, given)), _list_tensors(result)
            moved = sum(tensor.nbytes for tensor in read + written)
            if not name.endswith("_"):  # not in place
                sizes = [tensor.nbytes for tensor in written]
                self._fresh += sum(size for size in sizes if size > _FRESH_BYTES * self._images)
            self._bytes_by_channel += moved * is_grouped
            self._bytes += moved * (not is_grouped)
        return result

    def count_per_image(self) -> Operations:
        found = (self._operations, self._bytes, self._bytes_by_channel, self._fresh)
        return Operations(*(amount / self._images / 1e9 for amount in found))


def _list_tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _is_grouped(name: str, arguments: Any) -> bool:
    """Whether this is a convolution by groups, whose backward pass torch's own count overrates many times."""
    place = {"convolution": 8, "convolution_backward": 9}.get(name)
    return place is not None and len(arguments) > place and arguments[place] > 1


def count_operations(network: nn.Module, images: torch.Tensor) -> tuple[Operations, Operations]:
    """Count those of a forward pass, and of the backward pass that follows it in training.

    Args:
        network: built on torch's device "meta", with its frozen layers.
        images: (B, 1, H, W) on that device.
    """
    set_train_mode(network)
    with _Counter(len(images)) as forward:
        outputs = network(images)
    backward = _Counter(len(images))
    if isinstance(outputs, torch.Tensor) and outputs.requires_grad:
        with backward:
            outputs.sum().backward()  # type: ignore[no-untyped-call]
    return forward.count_per_image(), backward.count_per_image()
