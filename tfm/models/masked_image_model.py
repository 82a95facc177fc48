"""The network for masked image modelling: an encoder, and a decoder so light that the encoder must do the work.
Which blocks are hidden, and the loss, are in `tfm.training`."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from tfm.core.errors import SettingsError
from tfm.models.features import compute_feature_map, raise_no_map

ENCODER_PREFIX = "encoder."  # of the names of its encoder's tensors


class MaskedImageModel(nn.Module):
    """As in SimMIM, one 1×1 convolution predicts all pixels of each place of the last feature map."""

    def __init__(self, encoder: nn.Module, block: int, fill: Literal["token", "zeros"]) -> None:
        super().__init__()
        features: Any = getattr(encoder, "feature_info", None)
        remove_classifier: Any = getattr(encoder, "reset_classifier", None)
        if not features or not remove_classifier:
            raise_no_map(encoder)
        remove_classifier(0)
        self.encoder = encoder
        channels: Any = encoder.num_features
        pixels = features[-1]["reduction"]  # side of the square that one place of the map covers
        self.decoder = nn.Sequential(nn.Conv2d(channels, pixels**2, 1), nn.PixelShuffle(pixels))
        self.token = nn.Parameter(torch.zeros(1, 1, block, block)) if fill == "token" else None

    def forward(self, images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) normalised, (B, 1, H, W) bool → (B, 1, H, W)."""
        reconstructed: torch.Tensor = self.decoder(compute_feature_map(self.encoder, self.hide_blocks(images, hidden)))
        height, width = images.shape[2:]
        covered_height, covered_width = reconstructed.shape[2:]
        if covered_height < height or covered_width < width:
            raise SettingsError(
                f"the last feature map of {type(self.encoder).__name__} covers only {covered_height}×{covered_width} "
                f"of {height}×{width} pixels: the rest cannot be reconstructed",
                hint="preprocess to a height and width that are multiples of 32, or choose another encoder, such as "
                "swin_tiny_patch4_window7_224",
                fields=("architecture",),
            )
        return reconstructed[..., :height, :width]

    def hide_blocks(self, images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W)
        if self.token is None:
            return images.masked_fill(hidden, 0)
        height, width = images.shape[2:]
        times = [-(-side // self.token.shape[-1]) for side in (height, width)]
        token = self.token.repeat(1, 1, *times)[..., :height, :width]
        return torch.where(hidden, token.to(images.dtype), images)
