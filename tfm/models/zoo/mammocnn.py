"""MammoCNN: a plain network to train from scratch, with eight convolutions and three dense layers.
3,337,057 parameters for one grey channel; image sides must be multiples of 64."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tfm.core.errors import SettingsError

CHANNELS = (32, 64, 128, 256)
POOLED = 4  # the last feature map is averaged to 4×4
SIDE_MULTIPLE = POOLED * 2 ** len(CHANNELS)


def _build_convolution(channels: int, filters: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.LeakyReLU()]


class MammoCNN(nn.Module):
    # The attributes in which timm's networks declare their first layer, classifier and stages.
    pretrained_cfg = {"first_conv": "features.0.0", "classifier": "classifier"}  # noqa: RUF012
    feature_info = [  # noqa: RUF012
        {"module": f"features.{number}", "num_chs": filters, "reduction": 2 ** (number + 1)}
        for number, filters in enumerate(CHANNELS)
    ]

    def __init__(self, dropout: float) -> None:
        super().__init__()
        stages = []
        for number, (channels, filters) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), start=1):
            share = dropout * number / len(CHANNELS)
            stages.append(
                nn.Sequential(
                    *_build_convolution(channels, filters),
                    *_build_convolution(filters, filters),
                    nn.MaxPool2d(2),
                    nn.Dropout(share),
                )
            )
        self.features = nn.Sequential(*stages)
        self.dense = nn.Sequential(
            nn.Linear(CHANNELS[-1] * POOLED**2, 512), nn.LeakyReLU(), nn.Linear(512, 128), nn.LeakyReLU()
        )
        self.classifier = nn.Linear(128, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, 1)
        features = self.features(images)
        height, width = features.shape[-2:]
        # Adaptive pooling has no deterministic backward pass on a GPU; pooling with a fixed window has.
        pooled = functional.avg_pool2d(features, (height // POOLED, width // POOLED))
        logits: torch.Tensor = self.classifier(self.dense(pooled.flatten(1)))
        return logits


def build(dropout: float, in_size: tuple[int, int]) -> MammoCNN:
    if any(side % SIDE_MULTIPLE for side in in_size):
        raise SettingsError(
            f"MammoCNN cannot take images of {in_size[0]}×{in_size[1]} pixels",
            hint=f"preprocess to a height and width that are multiples of {SIDE_MULTIPLE}, 512×512 for example",
        )
    return MammoCNN(dropout)
