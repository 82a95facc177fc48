"""DeepLabV3+ around a backbone of timm's: one grey channel in, one logit a class and pixel out. The library's own
network, but for what a GPU could not compute back in the same bits each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPPPooling
from torch import nn
from torch.nn import functional

from tfm.core import hints
from tfm.core.errors import SettingsError, WeightsError
from tfm.models.build import build_model
from tfm.models.settings import SegmenterSettings
from tfm.models.weights import load_weights, read_weights

SIDE_MULTIPLE = 16  # the coarsest map that DeepLabV3+ looks at


class Segmenter(nn.Module):
    def __init__(self, backbone: str, classes: Sequence[str], dropout: float) -> None:
        super().__init__()
        self.deeplab = smp.DeepLabV3Plus(
            f"tu-{backbone}", encoder_weights=None, in_channels=1, classes=len(classes), decoder_aspp_dropout=dropout
        )
        _replace(self.deeplab, nn.Upsample, lambda found: Upsampling(int(found.scale_factor)))
        _replace(self.deeplab, ASPPPooling, ImagePooling)
        # A checkpoint says which classes its answers are of.
        self.classes: torch.Tensor
        self.register_buffer("classes", torch.tensor(list(", ".join(classes).encode()), dtype=torch.uint8))

    @property
    def backbone(self) -> nn.Module:
        network: nn.Module = self.deeplab.encoder.model
        return network

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, classes, H, W)
        logits: torch.Tensor = self.deeplab(images)
        return logits

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Refused by name where its classes are others: the shapes may well be the same."""
        theirs, ours = (bytes(classes.tolist()).decode() for classes in (state_dict["classes"], self.classes))
        if theirs != ours:
            raise RuntimeError(f"it tells apart {theirs}, and this one {ours}")
        return super().load_state_dict(state_dict, strict, assign)


def _replace(network: nn.Module, kind: type[nn.Module], by: Any) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, kind):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, by(module))


class Upsampling(nn.Module):
    """Bilinear, corners on corners, as a product with a matrix each way: the backward pass of torch's own adds up in
    any order on a GPU."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, maps: torch.Tensor) -> torch.Tensor:  # (B, C, h, w) → (B, C, factor h, factor w)
        down, across = (_weights(side, self.factor * side, maps.device) for side in maps.shape[-2:])
        return down @ (maps @ across.T)


def _weights(old: int, new: int, device: torch.device) -> torch.Tensor:  # (new, old)
    place = torch.linspace(0, old - 1, new, dtype=torch.float64, device=device)[:, None]
    return (1 - (place - torch.arange(old, device=device)).abs()).clamp_(min=0).float()


class ImagePooling(nn.Module):
    """What the whole map holds on average, at each of its places. Spread out as it is, where the library interpolates
    from a single pixel."""

    def __init__(self, pooling: ASPPPooling) -> None:
        super().__init__()
        _, self.convolution, self.norm, _ = pooling

    def forward(self, maps: torch.Tensor) -> torch.Tensor:  # (B, C, h, w) → (B, K, h, w)
        pooled = self.norm(self.convolution(maps.mean((2, 3), keepdim=True)))
        return functional.relu(pooled).expand(-1, -1, *maps.shape[-2:])


def build_segmenter(settings: SegmenterSettings, classes: Sequence[str], in_size: tuple[int, int]) -> Segmenter:
    """Its first weights come from torch's generator: seed that before."""
    if any(side % SIDE_MULTIPLE for side in in_size):
        raise SettingsError(
            f"DeepLabV3+ cannot take images of {in_size[0]}×{in_size[1]} pixels",
            hint=f"preprocess to a height and width that are multiples of {SIDE_MULTIPLE}, or cut tiles: "
            f"{hints.setting('tile', 512)}",
        )
    try:
        network = Segmenter(settings.backbone, classes, settings.dropout)
    except Exception as error:  # whatever keeps one of timm's networks from being dilated
        reason = str(error).strip() or "its layers cannot be dilated"
        raise SettingsError(
            f"{settings.backbone} cannot be the backbone of DeepLabV3+ ({reason})",
            hint=f"choose another "
            f"{hints.setting('backbone')}, such as resnet34, resnet50, efficientnet_b3 or convnext_tiny",
            fields=("backbone",),
        ) from error
    if settings.trained == "decoder":
        network.backbone.requires_grad_(False)
    return network


def load_segmenter(network: Segmenter, settings: SegmenterSettings, path: Path) -> None:
    """A whole segmenter's weights, or those of its backbone as it stands alone; anything else is refused."""
    given = read_weights(path)
    if "classes" in given:
        _load_whole(network, given, path)
        return
    alone = build_model(settings.classifier, in_size=(0, 0))  # a convolutional network takes any
    load_weights(alone, path)
    tensors = {_flat(name): tensor for name, tensor in alone.state_dict().items()}
    # timm's networks of features have the names of the whole ones, but for dots.
    network.backbone.load_state_dict({name: tensors[_flat(name)] for name in network.backbone.state_dict()})


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _load_whole(network: Segmenter, given: dict[str, torch.Tensor], path: Path) -> None:
    try:
        network.load_state_dict(given)
    except RuntimeError as error:
        raise WeightsError(
            f"the segmenter in {path} is another one: {str(error).strip().splitlines()[-1].strip()}",
            hint=f"choose the {hints.setting('classes')} and "
            f"{hints.setting('backbone')} it was trained with, or other weights",
        ) from error
