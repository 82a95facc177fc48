"""The attention of Swin encoders as it really is: every block's weights while images pass through, and the rows of the
layers that queries and keys come from. What is made of it stands in spectral and, as maps, in the analysis floor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.models import swin_transformer, swin_transformer_v2
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError

# Only of these is it known that rows 0..C of the fused layer make the queries and C..2C the keys.
_ATTENTIONS = (swin_transformer.WindowAttention, swin_transformer_v2.WindowAttention)
_BLOCKS = (swin_transformer.SwinTransformerBlock, swin_transformer_v2.SwinTransformerV2Block)


def find_attentions(network: nn.Module) -> list[nn.Module]:
    """One a block, in the order in which an image passes them."""
    return _all_of(network, _ATTENTIONS)


def find_blocks(network: nn.Module) -> list[nn.Module]:
    return _all_of(network, _BLOCKS)


def has_attention(network: nn.Module) -> bool:
    return any(isinstance(module, _BLOCKS) for module in network.modules())


def _all_of(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    found = [module for module in network.modules() if isinstance(module, kinds)]
    if not found:
        raise SettingsError(
            f"{type(network).__name__} has no window attention to look at",
            hint="choose a Swin encoder such as swin_tiny_patch4_window7_224, or leave its attention out: "
            f"{hints.setting('beta', 0)}, {hints.setting('attention_gamma', 0)}",
            fields=("beta", "attention_gamma"),
        )
    return found


def get_query_key(attention: nn.Module) -> torch.Tensor:  # (2, C, C in), a view: W_Q and W_K
    weight = attention.get_parameter("qkv.weight")
    rows = len(weight) // 3
    return weight[: 2 * rows].view(2, rows, -1)


@contextmanager
def record_attention(watched: list[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """Fills with one tensor (images × windows, heads, n, n) for each of these attentions that an image passes: the very
    weights it goes on with, gradient and all, before any of them is dropped."""
    seen: list[torch.Tensor] = []
    fused = [getattr(attention, "fused_attn", False) for attention in watched]
    hooks = [
        attention.get_submodule("attn_drop").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for attention in watched
    ]
    try:
        for attention in watched:
            attention.fused_attn = False  # type: ignore[assignment]  # a fused kernel never has the weights as a whole
        yield seen
    finally:
        for attention, was, hook in zip(watched, fused, hooks, strict=True):
            attention.fused_attn = was  # type: ignore[assignment]
            hook.remove()
