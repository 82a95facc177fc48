"""Which part of a network is trained: all of it, its last stage and classifier, the classifier alone, or nothing. What
is frozen stands still in training too: no gradient, no batch statistics, no dropout."""

from __future__ import annotations

from typing import Any

from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.models.head import get_classifier_names
from tfm.models.settings import Trained


def freeze(network: nn.Module, trained: Trained) -> None:
    kept = _trained_part(network, trained)
    for name, tensor in network.named_parameters():
        tensor.requires_grad = name in kept


def _trained_part(network: nn.Module, trained: Trained) -> set[str]:
    """Names of parameters."""
    names = {name for name, _ in network.named_parameters()}
    match trained:
        case "all":
            return names
        case "last_stage":
            return find_last_stage(network)
        case "head":
            return {
                name for name in names if name.startswith(tuple(f"{part}." for part in get_classifier_names(network)))
            }
        case "none":
            return set()


def set_train_mode(network: nn.Module) -> None:
    """In place of `network.train()`, which would let frozen layers go on counting batch statistics."""
    network.train()
    for module in network.modules():
        tensors = list(module.parameters())
        if tensors and not any(tensor.requires_grad for tensor in tensors):
            module.eval()


def find_last_stage(network: nn.Module) -> set[str]:
    """The names of all that is computed after the last feature map but one: networks name their layers in the order in
    which an image passes them."""
    features: Any = getattr(network, "feature_info", [])
    before = f"{features[-2]['module']}." if len(features) > 1 else None
    names = [name for name, _ in network.named_parameters()]
    passed = [place for place, name in enumerate(names) if before and name.startswith(before)]
    if not passed:
        raise SettingsError(
            f"{type(network).__name__} does not say which of its stages is the last",
            hint=f"train all of it, or none: {hints.setting('trained', 'all')}, {hints.setting('trained', 'none')}",
            fields=("trained",),
        )
    return set(names[passed[-1] + 1 :])
