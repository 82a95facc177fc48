"""The two views of a breast, CC and MLO, classified together by one network."""

from __future__ import annotations

import torch
from torch import nn

from tfm.models.head import find_head


def classify_together(network: nn.Module, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Classify each image with the other view of its breast: (B, 1, H, W) twice → (B, 1).

    Both go through the network up to its classifier, which sees the average of their features. So the order of the
    views has no effect, and an image that is its own other view is classified as if it were alone.
    """

    def average_views(_head: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        first, second = inputs[0].chunk(2)
        return (first + second) / 2

    hook = find_head(network).register_forward_pre_hook(average_views)
    try:
        logits: torch.Tensor = network(torch.cat([images, others]))
    finally:
        hook.remove()
    return logits
