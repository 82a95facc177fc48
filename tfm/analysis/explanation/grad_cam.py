"""Grad-CAM for both classes, on the feature map that the model's card names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from tfm.analysis.explanation.attention_map import resize_to_images
from tfm.core.errors import SettingsError

BENIGN, MALIGNANT = 0, 1


def compute_grad_cam(
    network: nn.Module,
    compute_logits: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    layer: str | None,
    layout: str | None,
) -> torch.Tensor:
    """Compute the maps (B, 2, H, W) of BENIGN and MALIGNANT, each at least zero.

    The network has one logit: evidence for malignant is evidence against benign.

    Args:
        compute_logits: maps images to the network's logits (B, 1). Each image must be processed independently, as in
            `eval` mode.
        layer: name of the submodule whose output is the feature map.
        layout: "NCHW" or "NHWC", the layout of that output.
    """
    if layer is None or layout not in ("NCHW", "NHWC"):
        raise SettingsError(
            f"Grad-CAM needs a feature map, and {type(network).__name__} has features of layout {layout or 'unknown'}",
            hint="explain a convolutional network or a Swin encoder",
            fields=("run",),
        )
    features: list[torch.Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, out: features.append(out))
    try:
        with torch.enable_grad():  # the images require gradients, so it works with frozen weights too
            logits = compute_logits(images.detach().requires_grad_())
            (gradient,) = torch.autograd.grad(logits.sum(), features[0])
    finally:
        hook.remove()
    height, width, channel = (1, 2, 3) if layout == "NHWC" else (2, 3, 1)
    weight = gradient.mean((height, width), keepdim=True)
    # The feature maps of other views come after those of the images.
    malignant = (weight * features[0].detach()).sum(channel)[: len(images)]
    return torch.stack([resize_to_images(evidence.relu(), images) for evidence in (-malignant, malignant)], dim=1)
