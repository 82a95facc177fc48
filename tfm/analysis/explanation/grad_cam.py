"""Grad-CAM: which places of a feature map speak for each class. The layer and its layout come from the model's card."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from tfm.analysis.explanation.attention_map import resize_to_images
from tfm.core.errors import SettingsError

BENIGN, MALIGNANT = 0, 1


def compute_grad_cam(
    network: nn.Module,
    ask: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    layer: str | None,
    layout: str | None,
) -> torch.Tensor:
    """(B, 2, H, W): for BENIGN and MALIGNANT, each at least zero. `ask` gives the network's logits (B, 1) of images;
    each must be looked at by itself, as in `eval`. One logit speaks for both classes: what speaks for malignant speaks
    against benign."""
    if layer is None or layout not in ("NCHW", "NHWC"):
        raise SettingsError(
            f"{type(network).__name__} keeps its features as {layout or 'it says nowhere'}, not as a map: there is no "
            "Grad-CAM of it",
            hint="explain a convolutional network or a Swin encoder",
            fields=("run",),
        )
    kept: list[torch.Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _module, _given, made: kept.append(made))
    try:
        with torch.enable_grad():  # from the images on, so that it works where all weights are frozen too
            logits = ask(images.detach().requires_grad_())
            (gradient,) = torch.autograd.grad(logits.sum(), kept[0])
    finally:
        hook.remove()
    height, width, channel = (1, 2, 3) if layout == "NHWC" else (2, 3, 1)
    weight = gradient.mean((height, width), keepdim=True)
    malignant = (weight * kept[0].detach()).sum(channel)
    return torch.stack([resize_to_images(speaks.relu(), images) for speaks in (-malignant, malignant)], dim=1)
