"""What a network's input is normalised with: the statistics of its training images, or those of its first weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError

Colours = tuple[tuple[float, float], ...]  # mean and deviation of each channel


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of intensity (0..1), of a run's own training images or of its first weights."""

    mean: float = 0.0
    deviation: float = 1.0
    colours: Colours = ()  # where the first weights take several channels

    @classmethod
    def of_channels(cls, means: Sequence[float], deviations: Sequence[float]) -> Self:
        """Grey images are normalised with the channels' averages; the network restores the channels from that."""
        colours = tuple((float(mean), float(deviation)) for mean, deviation in zip(means, deviations, strict=True))
        return cls(*_average(colours), colours)

    def to_facts(self) -> dict[str, Any]:
        """Plain values, as a run saves them. Without colours they are those of old runs."""
        colours = {"colours": [list(colour) for colour in self.colours]} if self.colours else {}
        return {"mean": self.mean, "deviation": self.deviation, **colours}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        colours = tuple((mean, deviation) for mean, deviation in facts.get("colours", ()))
        return cls(facts["mean"], facts["deviation"], colours)


def _average(colours: Colours) -> tuple[float, float]:
    means, deviations = zip(*colours, strict=True)
    return sum(means) / len(means), sum(deviations) / len(deviations)


def accept_grey(network: nn.Module, colours: Colours) -> None:
    """Let a network of several colours take one grey channel, normalised with the colours' averages.

    Its first layer gets what it would get from an image with equal channels, to the last pixel before its padding.
    """
    mean, deviation = _average(colours)
    for layer in _find_first_layers(network):
        scale = [deviation / own for _, own in colours]
        shift = [(mean - own_mean) / own for own_mean, own in colours]
        layer.register_buffer("grey_scale", torch.tensor(scale).view(1, -1, 1, 1), persistent=False)
        layer.register_buffer("grey_shift", torch.tensor(shift).view(1, -1, 1, 1), persistent=False)
        layer.register_forward_pre_hook(_restore_colours)


def _restore_colours(layer: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:  # (B, 1, H, W) → (B, C, H, W)
    scale, shift = layer.get_buffer("grey_scale"), layer.get_buffer("grey_shift")
    return inputs[0] * scale + shift


def get_first_layer_names(network: nn.Module) -> tuple[str, ...]:
    card: Any = network.pretrained_cfg
    return (card["first_conv"],) if isinstance(card["first_conv"], str) else tuple(card["first_conv"])


def _find_first_layers(network: nn.Module) -> Sequence[nn.Module]:
    """Find the layers that see the image. A feature extractor of timm has underscores in place of some dots."""
    modules = {name.replace(".", "_"): module for name, module in network.named_modules()}
    layers = [modules.get(name.replace(".", "_")) for name in get_first_layer_names(network)]
    found = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.in_channels == 3]
    if not found or len(found) != len(layers):
        raise SettingsError(
            f"{type(network).__name__} does not begin with a convolution over three colours, so it cannot take grey "
            "images with pretrained weights",
            hint=f"train it from scratch ({hints.setting('weights', 'none')}), or choose another architecture",
            fields=("architecture", "weights"),
        )
    return found
