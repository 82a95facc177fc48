"""An encoder's last feature map, its classifier without the average before it, and averages that know the breast."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from tfm.core import hints
from tfm.core.errors import SettingsError


def compute_feature_map(network: nn.Module, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, C, h, w)
    """Whatever the encoder's own layout; a list of patches, or no map at all, is refused."""
    made = _forward(network, "forward_features", images)
    channel = 3 if is_channels_last(network) else 1
    if made.ndim != 4 or made.shape[channel] != network.num_features:
        raise raise_no_map(network)
    return made.movedim(channel, 1)


def classify_pooled(network: nn.Module, pooled: torch.Tensor) -> torch.Tensor:  # (B, C) → (B, classes)
    """What the network makes of features that are averaged already: of a map of one place, the average is itself."""
    place = pooled[:, None, None] if is_channels_last(network) else pooled[:, :, None, None]
    return _forward(network, "forward_head", place)


@torch.no_grad()
def check_averaging(network: nn.Module, in_size: tuple[int, int]) -> None:
    """That its classifier takes the plain average of its map, which then may be the breast's: refused by name where the
    network itself pools in another way, by attention or by layers behind the map."""
    training = network.training
    network.eval()
    image = torch.randn(1, 1, *in_size, generator=torch.Generator().manual_seed(0))
    own, averaged = network(image), classify_pooled(network, compute_feature_map(network, image).mean((2, 3)))
    network.train(training)
    if not torch.allclose(own, averaged, rtol=1e-3, atol=1e-4):
        raise SettingsError(
            f"{type(network).__name__} does not classify the average of its last feature map, so the breast's cannot "
            "take its place",
            hint="choose a Swin encoder such as swin_tiny_patch4_window7_224 or a network with plain average pooling, "
            f"such as resnet50; or leave it as it is: {hints.setting('pooling', 'average')} "
            f"{hints.setting('background_contrast', 0)}",
            fields=("architecture", "pooling", "background_contrast"),
        )


def is_channels_last(network: nn.Module) -> bool:
    """Whether its channels stand behind height and width, as timm's networks say of themselves."""
    return getattr(network, "output_fmt", "NCHW") == "NHWC"


def _forward(network: nn.Module, name: str, given: torch.Tensor) -> torch.Tensor:
    if not hasattr(network, name):
        raise raise_no_map(network)
    return cast(torch.Tensor, getattr(network, name)(given))


def raise_no_map(network: nn.Module) -> SettingsError:
    return SettingsError(
        f"{type(network).__name__} does not give a feature map that can be laid over its image",
        hint="choose a Swin encoder such as swin_tiny_patch4_window7_224, or a convolutional one of timm's",
        fields=("architecture",),
    )


def resize_to_features(breast: torch.Tensor, features: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, 1, h, w)
    """The share of each place of the map that is breast."""
    return functional.interpolate(breast.float(), features.shape[-2:], mode="area")


def average_breast(features: torch.Tensor, share: torch.Tensor) -> torch.Tensor:  # (B, C, h, w), (B, 1, h, w) → (B, C)
    """The features of the breast: each place counts as far as it is breast. An image without any counts as a whole."""
    empty = share.sum((2, 3), keepdim=True) == 0
    weight = torch.where(empty, torch.ones_like(share), share)
    return (features * weight).sum((2, 3)) / weight.sum((2, 3))


def compare_to_background(features: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,) cosine between the features of breast and of background, 0 where an image lacks one of them; and (B,) bool,
    which images have both."""
    both = ((share.sum((2, 3)) > 0) & ((1 - share).sum((2, 3)) > 0))[:, 0]
    usable = torch.where(both[:, None, None, None], share, torch.full_like(share, 0.5))
    cosine = functional.cosine_similarity(average_breast(features, usable), average_breast(features, 1 - usable))
    return cosine * both, both
