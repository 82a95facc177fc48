"""The head of a network, behind its pooled features: one linear layer, or a hidden layer before it."""

from __future__ import annotations

from typing import Any

from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError

_FIRST_DEVIATION = 1e-3  # of the weights of a new classifier


def get_classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Return the dotted names of the classifier modules, which are never loaded from foreign weights."""
    card: Any = network.pretrained_cfg
    return (card["classifier"],) if isinstance(card["classifier"], str) else tuple(card["classifier"])


def find_head(network: nn.Module) -> nn.Module:
    names = [name for name in get_classifier_names(network) if name]
    found = network.get_submodule(names[0]) if len(names) == 1 else None
    if not isinstance(found, nn.Linear | nn.Sequential):
        raise SettingsError(
            f"{type(network).__name__} has no single linear classifier that could be replaced",
            hint="train its last stage, or all of it, without a hidden layer of your own: "
            f"{hints.setting('trained', 'last_stage')}, {hints.setting('trained', 'all')}",
            fields=("trained", "head"),
        )
    return found


def find_last_layer(network: nn.Module) -> nn.Linear:
    """Return the layer that outputs the logit."""
    return _list_linear_layers(find_head(network))[-1]


def count_inputs(part: nn.Module) -> int:
    """Count the input features of a head, or of its last layer."""
    return _list_linear_layers(part)[0].in_features


def insert_hidden_layer(network: nn.Module, width: int, dropout: float) -> None:
    inputs = count_inputs(find_head(network))
    (name,) = get_classifier_names(network)
    layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1)]
    network.set_submodule(name, nn.Sequential(*layers))


def pool_maximum(network: nn.Module) -> None:
    """Give the classifier the maximum of the last features beside their average, with new weights."""
    try:
        network.reset_classifier(1, "fastcatavgmax")  # type: ignore[operator]
    except (AssertionError, AttributeError, TypeError, ValueError) as error:  # each family refuses in its own way
        raise SettingsError(
            f"{type(network).__name__} cannot pool its last features by their maximum",
            hint=f"choose {hints.setting('max_pooling', False)}, or another architecture such as resnet18 or "
            "tf_efficientnet_lite0",
            fields=("architecture", "max_pooling"),
        ) from error


def initialize_classifier(network: nn.Module) -> None:
    """Draw small first weights for the layer of the logit, so that training starts at a probability near one half.

    timm draws some classifiers so wide that fine-tuning would first unlearn them, at the pretrained layers' expense.
    """
    for name in filter(None, get_classifier_names(network)):
        layers = [part for part in network.get_submodule(name).modules() if isinstance(part, nn.Linear | nn.Conv2d)]
        nn.init.normal_(layers[-1].weight, std=_FIRST_DEVIATION)
        if layers[-1].bias is not None:
            nn.init.zeros_(layers[-1].bias)


def _list_linear_layers(part: nn.Module) -> list[nn.Linear]:
    return [module for module in part.modules() if isinstance(module, nn.Linear)]
