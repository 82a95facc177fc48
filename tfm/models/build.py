"""Build a network from its settings: one grey channel in, one logit out. Weights are loaded in `weights`."""

from __future__ import annotations

import importlib
from typing import Any

import timm
from torch import nn

from tfm.models import zoo
from tfm.models.head import initialize_classifier, insert_hidden_layer, pool_maximum
from tfm.models.lesion_guided import LesionGuidedClassifier
from tfm.models.normalisation import Colours, accept_grey
from tfm.models.settings import ModelSettings, is_zoo_model


def build_model(settings: ModelSettings, in_size: tuple[int, int], colours: Colours = ()) -> nn.Module:
    """Build with random weights from torch's global generator; seed it before.

    Args:
        colours: mean and deviation of each channel that pretrained weights take; empty for one grey channel.
    """
    dropout = settings.dropout if settings.head is None else 0.0
    network = _create_network(settings.architecture, dropout, in_size, len(colours) or 1)
    if colours:
        accept_grey(network, colours)
    if settings.max_pooling:
        pool_maximum(network)
    if settings.head is not None:
        insert_hidden_layer(network, settings.head, settings.dropout)
    initialize_classifier(network)
    return LesionGuidedClassifier(network, settings.stride, in_size) if settings.stride else network


def _create_network(architecture: str, dropout: float, in_size: tuple[int, int], channels: int) -> nn.Module:
    if is_zoo_model(architecture):
        module = importlib.import_module(f"{zoo.__name__}.{architecture.lower()}")
        network: nn.Module = module.build(dropout, in_size)
        return network
    # A transformer is built for one image size; a convolutional network takes any.
    card = timm.get_pretrained_cfg(architecture)
    sized: dict[str, Any] = {"img_size": in_size} if card and card.fixed_input_size else {}
    return timm.create_model(architecture, in_chans=channels, num_classes=1, drop_rate=dropout, **sized)
