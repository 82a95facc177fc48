"""An encoder's last feature map, its classifier without pooling, and averages over the breast."""

from __future__ import annotations

from typing import NoReturn, cast

import torch
from torch import nn
from torch.nn import functional

from tfm.core import hints
from tfm.core.errors import SettingsError


def compute_feature_map(network: nn.Module, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, C, h, w)
    """Compute the last feature map as NCHW; refuse encoders that output a list of patches or no map."""
    features = _forward(network, "forward_features", images)
    channel = 3 if is_channels_last(network) else 1
    if features.ndim != 4 or features.shape[channel] != network.num_features:
        raise_no_map(network)
    return features.movedim(channel, 1)


def classify_pooled(network: nn.Module, pooled: torch.Tensor) -> torch.Tensor:  # (B, C) → (B, classes)
    """Classify pooled features, as a map of one place: pooling does not change it."""
    place = pooled[:, None, None] if is_channels_last(network) else pooled[:, :, None, None]
    return _forward(network, "forward_head", place)


@torch.no_grad()
def check_averaging(network: nn.Module, in_size: tuple[int, int]) -> None:
    """Refuse networks whose classifier does not take the plain average of the feature map, for example because they
    pool by attention: an average over the breast could not replace it."""
    training = network.training
    network.eval()
    images = torch.randn(4, 1, *in_size, generator=torch.Generator().manual_seed(0))
    direct, averaged = network(images), classify_pooled(network, compute_feature_map(network, images).mean((2, 3)))
    network.train(training)
    if (direct - averaged).norm() > 1e-3 * direct.norm():  # relative, as a new classifier's logits are small
        raise SettingsError(
            f"{type(network).__name__} does not classify the average of its last feature map, so the average over "
            "the breast cannot replace it",
            hint="choose a Swin encoder such as swin_tiny_patch4_window7_224 or a network with plain average pooling, "
            f"such as resnet50; or leave it as it is: {hints.setting('pooling', 'average')} "
            f"{hints.setting('background_contrast', 0)}",
            fields=("architecture", "pooling", "background_contrast"),
        )


def is_channels_last(network: nn.Module) -> bool:
    """Whether feature maps are NHWC, as timm's networks declare."""
    return getattr(network, "output_fmt", "NCHW") == "NHWC"


def _forward(network: nn.Module, name: str, inputs: torch.Tensor) -> torch.Tensor:
    if not hasattr(network, name):
        raise_no_map(network)
    return cast(torch.Tensor, getattr(network, name)(inputs))


def raise_no_map(network: nn.Module) -> NoReturn:
    raise SettingsError(
        f"{type(network).__name__} does not output a feature map that matches the image",
        hint="choose a Swin encoder such as swin_tiny_patch4_window7_224, or a convolutional one from timm",
        fields=("architecture",),
    )


def resize_to_features(breast: torch.Tensor, features: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, 1, h, w)
    """Compute the share of each place of the feature map that is breast."""
    return functional.interpolate(breast.float(), features.shape[-2:], mode="area")


def average_breast(features: torch.Tensor, share: torch.Tensor) -> torch.Tensor:  # (B, C, h, w), (B, 1, h, w) → (B, C)
    """Average the features, weighted by the share of breast; without any breast, over the whole image."""
    empty = share.sum((2, 3), keepdim=True) == 0
    weight = torch.where(empty, torch.ones_like(share), share)
    return (features * weight).sum((2, 3)) / weight.sum((2, 3))


def compare_to_background(features: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B,) cosine between the features of breast and background, 0 where an image lacks one of them, and (B,)
    bool: which images have both."""
    both = ((share.sum((2, 3)) > 0) & ((1 - share).sum((2, 3)) > 0))[:, 0]
    usable = torch.where(both[:, None, None, None], share, torch.full_like(share, 0.5))
    cosine = functional.cosine_similarity(average_breast(features, usable), average_breast(features, 1 - usable))
    return cosine * both, both
