"""A network that rebuilds what is hidden from it: an encoder, and a decoder so light that the encoder does the work.

Which blocks are hidden, and what the outcome is worth, is training's.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from tfm.models.features import feature_map

ENCODER = "encoder."  # how the names of its encoder's tensors begin


class Rebuilder(nn.Module):
    """As SimMIM: one 1×1 convolution gives each place of the last feature map all its pixels."""

    def __init__(self, encoder: nn.Module, block: int, fill: Literal["token", "zeros"]) -> None:
        super().__init__()
        encoder.reset_classifier(0)  # type: ignore[operator]
        self.encoder = encoder
        features: Any = encoder.feature_info
        channels: Any = encoder.num_features
        pixels = features[-1]["reduction"]  # a side of what one place of the map stands for
        self.decoder = nn.Sequential(nn.Conv2d(channels, pixels**2, 1), nn.PixelShuffle(pixels))
        self.token = nn.Parameter(torch.zeros(1, 1, block, block)) if fill == "token" else None

    def forward(self, images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) normalised, (B, 1, H, W) bool → (B, 1, H, W)."""
        rebuilt: torch.Tensor = self.decoder(feature_map(self.encoder, self.veiled(images, hidden)))
        return rebuilt[..., : images.shape[2], : images.shape[3]]

    def veiled(self, images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:  # what the encoder sees
        if self.token is None:
            return images.masked_fill(hidden, 0)
        height, width = images.shape[2:]
        times = [-(-side // self.token.shape[-1]) for side in (height, width)]
        token = self.token.repeat(1, 1, *times)[..., :height, :width]
        return torch.where(hidden, token.to(images.dtype), images)
