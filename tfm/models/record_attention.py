"""Record the attention weights of Swin encoders, and access their query and key weights.
The loss built on them is in `spectral_loss`; maps of them are in `tfm.analysis`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.models import swin_transformer, swin_transformer_v2
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError

# In these classes, rows 0..C of the fused qkv layer produce the queries and rows C..2C the keys.
_ATTENTIONS = (swin_transformer.WindowAttention, swin_transformer_v2.WindowAttention)
_BLOCKS = (swin_transformer.SwinTransformerBlock, swin_transformer_v2.SwinTransformerV2Block)


def find_attentions(network: nn.Module) -> list[nn.Module]:
    """Return the attention layer of each block, in forward order."""
    return _find_modules(network, _ATTENTIONS)


def find_blocks(network: nn.Module) -> list[nn.Module]:
    return _find_modules(network, _BLOCKS)


def has_attention(network: nn.Module) -> bool:
    return any(isinstance(module, _BLOCKS) for module in network.modules())


def _find_modules(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    found = [module for module in network.modules() if isinstance(module, kinds)]
    if not found:
        raise SettingsError(
            f"{type(network).__name__} has no window attention",
            hint="choose a Swin encoder such as swin_tiny_patch4_window7_224, or do without attention terms: "
            f"{hints.setting('beta', 0)}, {hints.setting('attention_gamma', 0)}",
            fields=("beta", "attention_gamma"),
        )
    return found


def get_query_key(attention: nn.Module) -> torch.Tensor:  # (2, C, C in): W_Q and W_K, a view
    weight = attention.get_parameter("qkv.weight")
    rows = len(weight) // 3
    return weight[: 2 * rows].view(2, rows, -1)


@contextmanager
def record_attention(layers: list[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """Yield a list that collects one tensor (images × windows, heads, n, n) per forward pass of each layer.

    These are the weights the layer itself uses, with their gradient and before dropout.
    """
    recorded: list[torch.Tensor] = []
    fused = [getattr(layer, "fused_attn", False) for layer in layers]
    hooks = [
        layer.get_submodule("attn_drop").register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0]))
        for layer in layers
    ]
    try:
        for layer in layers:
            layer.fused_attn = False  # type: ignore[assignment]  # a fused kernel never computes the whole weights
        yield recorded
    finally:
        for layer, was_fused, hook in zip(layers, fused, hooks, strict=True):
            layer.fused_attn = was_fused  # type: ignore[assignment]
            hook.remove()
