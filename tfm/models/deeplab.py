"""DeepLabV3+ around a timm backbone: one grey channel in, one logit per class and pixel out.
It is the library's network; only layers whose backward pass is not deterministic on a GPU are replaced."""

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
from tfm.models.normalisation import Colours, accept_grey
from tfm.models.settings import SegmenterSettings
from tfm.models.weights import load_weights, read_weights

SIDE_MULTIPLE = 16  # the stride of the coarsest feature map


class Segmenter(nn.Module):
    def __init__(self, backbone: str, classes: Sequence[str], dropout: float, colours: Colours = ()) -> None:
        super().__init__()
        self.deeplab = smp.DeepLabV3Plus(
            f"tu-{backbone}",
            encoder_weights=None,
            in_channels=len(colours) or 1,
            classes=len(classes),
            decoder_aspp_dropout=dropout,
        )
        if colours:
            accept_grey(self.backbone, colours)
        _replace_modules(self.deeplab, nn.Upsample, lambda module: Upsampling(int(module.scale_factor)))
        _replace_modules(self.deeplab, ASPPPooling, ImagePooling)
        # So that a checkpoint states its classes.
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
        """Refuse weights for other classes, whose shapes may be the same."""
        theirs, ours = (bytes(classes.tolist()).decode() for classes in (state_dict["classes"], self.classes))
        if theirs != ours:
            raise RuntimeError(f"its classes are {theirs}, not {ours}")
        return super().load_state_dict(state_dict, strict, assign)


def _replace_modules(network: nn.Module, kind: type[nn.Module], build: Any) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, kind):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, build(module))


class Upsampling(nn.Module):
    """Bilinear upsampling with aligned corners, as a matrix product per axis: torch's own is not deterministic."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, maps: torch.Tensor) -> torch.Tensor:  # (B, C, h, w) → (B, C, factor h, factor w)
        def build_matrix(old: int) -> torch.Tensor:  # (new, old)
            place = torch.linspace(0, old - 1, self.factor * old, dtype=torch.float64, device=maps.device)[:, None]
            return (1 - (place - torch.arange(old, device=maps.device)).abs()).clamp_(min=0).float()

        down, across = map(build_matrix, maps.shape[-2:])
        return down @ (maps @ across.T)


class ImagePooling(nn.Module):
    """Broadcast the map's average to each place, where the library interpolates from a single pixel."""

    def __init__(self, pooling: ASPPPooling) -> None:
        super().__init__()
        _, self.convolution, self.norm, _ = pooling

    def forward(self, maps: torch.Tensor) -> torch.Tensor:  # (B, C, h, w) → (B, K, h, w)
        pooled = self.norm(self.convolution(maps.mean((2, 3), keepdim=True)))
        return functional.relu(pooled).expand(-1, -1, *maps.shape[-2:])


def build_segmenter(
    settings: SegmenterSettings, classes: Sequence[str], in_size: tuple[int, int], colours: Colours = ()
) -> Segmenter:
    """Build with random weights from torch's global generator; seed it before."""
    if any(side % SIDE_MULTIPLE for side in in_size):
        raise SettingsError(
            f"DeepLabV3+ cannot take images of {in_size[0]}×{in_size[1]} pixels",
            hint=f"preprocess to a height and width that are multiples of {SIDE_MULTIPLE}, or cut tiles: "
            f"{hints.setting('tile', 512)}",
        )
    try:
        network = Segmenter(settings.backbone, classes, settings.dropout, colours)
    except Exception as error:  # not every timm network can be dilated; it fails in many ways
        reason = str(error).strip() or "its layers cannot be dilated"
        raise SettingsError(
            f"{settings.backbone} cannot be the backbone of DeepLabV3+ ({reason})",
            hint=f"choose another {hints.setting('backbone')}, such as resnet34, resnet50, efficientnet_b3 or "
            "convnext_tiny",
            fields=("backbone",),
        ) from error
    if settings.trained == "decoder":
        network.backbone.requires_grad_(False)
    return network


def load_segmenter(network: Segmenter, settings: SegmenterSettings, path: Path, colours: Colours = ()) -> None:
    """Load the weights of a whole segmenter or of its backbone as a classifier; refuse anything else."""
    tensors = read_weights(path)
    if "classes" in tensors:
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"the weights in {path} belong to another segmenter: {str(error).strip().splitlines()[-1].strip()}",
                hint=f"choose the {hints.setting('classes')} and {hints.setting('backbone')} they were trained with, "
                "or other weights",
            ) from error
        return
    classifier = build_model(settings.classifier, (0, 0), colours)  # a convolutional network takes any size
    load_weights(classifier, path)
    # timm's feature extractors name their tensors as the classifiers do, with underscores in place of some dots.
    by_name = {name.replace(".", "_"): tensor for name, tensor in classifier.state_dict().items()}
    network.backbone.load_state_dict({name: by_name[name.replace(".", "_")] for name in network.backbone.state_dict()})
