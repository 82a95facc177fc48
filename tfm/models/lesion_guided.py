"""A classifier that also learns from lesion masks. One encoder has two heads: its own classifier on the pooled
features, and a classifier of each place of an earlier feature map. The image's logit joins both."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.models.features import is_channels_last
from tfm.models.head import get_classifier_names
from tfm.models.masked_image_model import ENCODER_PREFIX
from tfm.models.tile_starts import get_tile_starts

PLACE_CLASSES = ("background", "benign", "malignant")
MALIGNANT = PLACE_CLASSES.index("malignant")
TOP_SHARE = 1 / 200  # of an image's places: those with the highest log odds of a class, whose mean scores the image
_OVERLAP = 0.25  # of neighbouring tiles
SCORES = 3  # of an image: pooled features, most malignant places, most benign places
_FIRST_DEVIATION = 1e-3  # of the weights of a new place classifier


class LesionGuidedClassifier(nn.Module):
    """It declares its classifiers and feature maps in the attributes in which timm's networks do."""

    def __init__(self, encoder: nn.Module, stride: int, in_size: tuple[int, int]) -> None:
        """
        Args:
            encoder: a classifier with one logit.
            stride: of the feature map whose places are classified, in pixels.
            in_size: height and width of the encoder's input. Larger images are classified tile by tile.
        """
        super().__init__()
        self.encoder, self.in_size = encoder, in_size
        self.output_fmt = getattr(encoder, "output_fmt", "NCHW")
        classifiers = [ENCODER_PREFIX + name for name in get_classifier_names(encoder)]
        self.pretrained_cfg = {"classifier": (*classifiers, "places", "joint")}
        maps: Any = getattr(encoder, "feature_info", [])
        self.feature_info = [{**one, "module": ENCODER_PREFIX + one["module"]} for one in maps]
        self._map = _find_map(encoder, self.feature_info, stride)
        self.places = nn.Linear(2 * self._map["num_chs"], len(PLACE_CLASSES))
        self.joint = nn.Linear(SCORES, 1)
        self.initialize_heads()

    @torch.no_grad()
    def initialize_heads(self) -> None:
        """Begin with the pooled logit, and evidence for malignant against that for benign, near a probability of one
        half."""
        nn.init.normal_(self.places.weight, std=_FIRST_DEVIATION)
        nn.init.zeros_(self.places.bias)
        self.joint.weight.copy_(torch.tensor([[0.5, 0.5, -0.5]]))
        nn.init.zeros_(self.joint.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # (B, 1, H, W) → (B, 1)
        logits, _ = self.locate(images)
        return logits

    def locate(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the logits of the images (B, 1), and of their places for each class (B, PLACE_CLASSES, h, w).

        The logit of a larger image is the highest one of its tiles.
        """
        height, width = self.in_size
        if images.shape[-2] <= height and images.shape[-1] <= width:
            return self._locate_in_tile(images)
        tops, lefts = (
            get_tile_starts(side, own, _OVERLAP) for side, own in zip(images.shape[-2:], self.in_size, strict=True)
        )
        corners = list(itertools.product(tops, lefts))
        tiles = [self._locate_in_tile(images[..., top : top + height, left : left + width]) for top, left in corners]
        logits = torch.stack([logit for logit, _ in tiles]).amax(0)
        return logits, self._assemble(corners, [places for _, places in tiles])

    def _assemble(self, corners: list[tuple[int, int]], tiles: list[torch.Tensor]) -> torch.Tensor:
        """Put the places of tiles where they belong in one map; average them where tiles overlap."""
        stride, (height, width) = self._map["reduction"], tiles[0].shape[-2:]
        starts = [(round(top / stride), round(left / stride)) for top, left in corners]
        size = (starts[-1][0] + height, starts[-1][1] + width)
        total, count = (tiles[0].new_zeros(*tiles[0].shape[:2], *size) for _ in range(2))
        for (top, left), places in zip(starts, tiles, strict=True):
            total[..., top : top + height, left : left + width] += places
            count[..., top : top + height, left : left + width] += 1
        return total / count

    def _locate_in_tile(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, features = self.encode(images)
        places = self.places(features.movedim(1, -1)).movedim(-1, 1)
        scores = torch.cat([pooled.float(), score_places(places.float())], dim=1)
        return self.join(scores), places

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the encoder's own logits (B, 1), and the input of the place classifier (B, K, h, w): the features of
        each place, with the mean over its neighbourhood beside them."""
        found: list[torch.Tensor] = []
        layer = self.get_submodule(self._map["module"])
        hook = layer.register_forward_hook(lambda _layer, _inputs, output: found.append(output))
        try:
            pooled = self.encoder(images)
        finally:
            hook.remove()
        features = found[0]
        channel = 3 if is_channels_last(self.encoder) else 1
        if features.ndim != 4 or features.shape[channel] != self._map["num_chs"]:
            raise _describe_missing_map(self.encoder, self._map["reduction"])
        features = features.movedim(channel, 1)
        around = functional.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
        return pooled, torch.cat([features, around], dim=1)

    def join(self, scores: torch.Tensor) -> torch.Tensor:  # (B, SCORES) → (B, 1)
        """Join log odds. As a sum, because autocast would round a linear layer."""
        return (scores * self.joint.weight).sum(1, keepdim=True) + self.joint.bias


def score_places(places: torch.Tensor) -> torch.Tensor:  # (B, PLACE_CLASSES, h, w) → (B, 2)
    """Compute the log odds of the most malignant and of the most benign places of each image, each as their mean.

    The benign ones tell a clearly benign lesion from a doubtful one: malignant log odds alone are low in both.
    """
    background, benign, malignant = places.flatten(2).unbind(1)
    odds = [malignant - torch.logaddexp(background, benign), benign - torch.logaddexp(background, malignant)]
    top = max(round(TOP_SHARE * background.shape[1]), 1)
    return torch.stack([one.topk(top).values.mean(1) for one in odds], dim=1)


def get_encoder(network: nn.Module) -> nn.Module:
    """Return the classifier inside a lesion-guided one; any other network is its own."""
    return network.encoder if isinstance(network, LesionGuidedClassifier) else network


def _find_map(encoder: nn.Module, maps: list[dict[str, Any]], stride: int) -> Mapping[str, Any]:
    """Find the last declared feature map of that stride."""
    fitting = [one for one in maps if one.get("reduction") == stride]
    if not fitting:
        raise _describe_missing_map(encoder, stride)
    return fitting[-1]


def _describe_missing_map(encoder: nn.Module, stride: int) -> SettingsError:
    return SettingsError(
        f"{type(encoder).__name__} does not output a feature map of stride {stride}, so it cannot learn from lesion "
        "masks",
        hint="choose a convolutional network of timm such as resnet18, or a Swin encoder such as "
        f"swin_tiny_patch4_window7_224; or learn from the labels alone: {hints.setting('lesion_guidance', 'none')}",
        fields=("architecture", "lesion_guidance"),
    )
