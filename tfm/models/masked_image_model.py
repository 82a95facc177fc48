"""A network that rebuilds what is hidden from it: an encoder, and a decoder so light that the encoder does the work.

Which blocks are hidden, and what the outcome is worth, is training's.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from tfm.core.errors import SettingsError
from tfm.models.features import compute_feature_map, raise_no_map

ENCODER_PREFIX = "encoder."  # how the names of its encoder's tensors begin


class MaskedImageModel(nn.Module):
    """As SimMIM: one 1×1 convolution gives each place of the last feature map all its pixels."""

    def __init__(self, encoder: nn.Module, block: int, fill: Literal["token", "zeros"]) -> None:
        super().__init__()
        features: Any = getattr(encoder, "feature_info", None)
        without_classifier: Any = getattr(encoder, "reset_classifier", None)
        if not features or not without_classifier:
            raise raise_no_map(encoder)
        without_classifier(0)
        self.encoder = encoder
        channels: Any = encoder.num_features
        pixels = features[-1]["reduction"]  # a side of what one place of the map stands for
        self.decoder = nn.Sequential(nn.Conv2d(channels, pixels**2, 1), nn.PixelShuffle(pixels))
        self.token = nn.Parameter(torch.zeros(1, 1, block, block)) if fill == "token" else None

    def forward(self, images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) normalised, (B, 1, H, W) bool → (B, 1, H, W)."""
        rebuilt: torch.Tensor = self.decoder(compute_feature_map(self.encoder, self.hide_blocks(images, hidden)))
        height, width = images.shape[2:]
        if rebuilt.shape[2] < height or rebuilt.shape[3] < width:
            raise SettingsError(
                f"the last map of {type(self.encoder).__name__} covers {rebuilt.shape[2]}×{rebuilt.shape[3]} pixels of "
                f"images of {height}×{width}: the rest could not be rebuilt",
                hint="preprocess to a height and width that are multiples of 32, or choose another encoder, such as "
                "swin_tiny_patch4_window7_224",
                fields=("architecture",),
            )
        return rebuilt[..., :height, :width]

    def hide_blocks(self, images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:  # what the encoder sees
        if self.token is None:
            return images.masked_fill(hidden, 0)
        height, width = images.shape[2:]
        times = [-(-side // self.token.shape[-1]) for side in (height, width)]
        token = self.token.repeat(1, 1, *times)[..., :height, :width]
        return torch.where(hidden, token.to(images.dtype), images)
