"""An encoder's last feature map, its classifier without the average before it, and averages that know the breast."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from tfm.core.errors import SettingsError


def feature_map(network: nn.Module, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, C, h, w)
    """Whatever the encoder's own layout."""
    made = _forward(network, "forward_features", images)
    return made if layout(network, made) == "NCHW" else made.permute(0, 3, 1, 2)


def layout(network: nn.Module, made: torch.Tensor) -> str:
    """NCHW or NHWC, of the last feature map; a list of patches, or no map at all, is refused."""
    channels: Any = network.num_features
    found = [name for name, axis in (("NCHW", 1), ("NHWC", 3)) if made.ndim == 4 and made.shape[axis] == channels]
    if len(found) != 1:
        raise _no_map(network)
    return found[0]


def classified(network: nn.Module, pooled: torch.Tensor) -> torch.Tensor:  # (B, C) → (B, classes)
    """What the network makes of features that are averaged already: of a map of one place, the average is itself."""
    width_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
    return _forward(network, "forward_head", pooled[:, None, None] if width_last else pooled[:, :, None, None])


def _forward(network: nn.Module, name: str, given: torch.Tensor) -> torch.Tensor:
    if not hasattr(network, name):
        raise _no_map(network)
    return cast(torch.Tensor, getattr(network, name)(given))


def _no_map(network: nn.Module) -> SettingsError:
    return SettingsError(
        f"{type(network).__name__} does not give a feature map that can be laid over its image",
        hint="choose a Swin encoder such as swin_tiny_patch4_window7_224, or a convolutional one of timm's",
        fields=("architecture",),
    )


def at_feature_size(breast: torch.Tensor, features: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, 1, h, w)
    """The share of each place of the map that is breast."""
    return functional.interpolate(breast.float(), features.shape[-2:], mode="area")


def breast_mean(features: torch.Tensor, share: torch.Tensor) -> torch.Tensor:  # (B, C, h, w), (B, 1, h, w) → (B, C)
    """The features of the breast: each place counts as far as it is breast. An image without any counts as a whole."""
    empty = share.sum((2, 3), keepdim=True) == 0
    weight = torch.where(empty, torch.ones_like(share), share)
    return (features * weight).sum((2, 3)) / weight.sum((2, 3))


def likeness(features: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,) cosine between the features of breast and of background, 0 where an image lacks one of them; and (B,) bool,
    which images have both."""
    both = ((share.sum((2, 3)) > 0) & ((1 - share).sum((2, 3)) > 0))[:, 0]
    usable = torch.where(both[:, None, None, None], share, torch.full_like(share, 0.5))
    cosine = functional.cosine_similarity(breast_mean(features, usable), breast_mean(features, 1 - usable))
    return cosine * both, both
