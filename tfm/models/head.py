"""The end of a network, behind its pooled features: one linear layer, or a hidden layer before it."""

from __future__ import annotations

from typing import Any

from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError


def get_classifier_names(network: nn.Module) -> tuple[str, ...]:
    """The dotted names of the modules that give the answer; what was learned for other classes stands there."""
    card: Any = network.pretrained_cfg
    return (card["classifier"],) if isinstance(card["classifier"], str) else tuple(card["classifier"])


def find_head(network: nn.Module) -> nn.Module:
    """All behind the pooled features."""
    names = [name for name in get_classifier_names(network) if name]
    found = network.get_submodule(names[0]) if len(names) == 1 else None
    if not isinstance(found, nn.Linear | nn.Sequential):
        raise SettingsError(
            f"{type(network).__name__} has no single linear classifier that something else could take the place of",
            hint=f"train its last stage, or all of it, without a hidden layer of your own: "
            f"{hints.setting('trained', 'last_stage')}, "
            f"{hints.setting('trained', 'all')}",
            fields=("trained", "head"),
        )
    return found


def find_last_layer(network: nn.Module) -> nn.Linear:
    """The one that gives the answer."""
    return _linears(find_head(network))[-1]


def count_inputs(part: nn.Module) -> int:
    """How many numbers of an image come into a head, or into its last layer."""
    return _linears(part)[0].in_features


def insert_hidden_layer(network: nn.Module, width: int, dropout: float) -> None:
    pooled = count_inputs(find_head(network))
    (name,) = get_classifier_names(network)
    layers = [nn.Linear(pooled, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1)]
    network.set_submodule(name, nn.Sequential(*layers))


def _linears(part: nn.Module) -> list[nn.Linear]:
    return [module for module in part.modules() if isinstance(module, nn.Linear)]
