"""Choose which part of a network is trained; the rest is frozen.
Frozen layers have no gradient and no dropout, and do not update batch statistics. Batch normalisation can be frozen in
layers that are trained, too."""

from __future__ import annotations

from typing import Any

from timm.utils.model import freeze_batch_norm_2d  # type: ignore[attr-defined]
from torch import nn

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.models.head import get_classifier_names
from tfm.models.settings import Trained


def freeze(network: nn.Module, trained: Trained) -> None:
    last_stage = find_last_stage(network) if trained == "last_stage" else set()
    heads = tuple(f"{part}." for part in get_classifier_names(network)) if trained == "head" else ()
    for name, tensor in network.named_parameters():
        tensor.requires_grad = trained == "all" or name in last_stage or name.startswith(heads)


def freeze_batch_norm(network: nn.Module) -> None:
    """Let batch normalisation keep the statistics and scales of the first weights."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise SettingsError(
            f"{type(network).__name__} has no batch normalisation to freeze",
            hint=f"leave it as it is: {hints.setting('freeze_batch_norm', False)}",
            fields=("freeze_batch_norm",),
        )
    freeze_batch_norm_2d(network)  # type: ignore[no-untyped-call]


def set_train_mode(network: nn.Module) -> None:
    """Use instead of `network.train()`, which would let frozen layers update batch statistics."""
    network.train()
    for module in network.modules():
        tensors = list(module.parameters())
        if tensors and not any(tensor.requires_grad for tensor in tensors):
            module.eval()


def find_last_stage(network: nn.Module) -> set[str]:
    """Return the names of all parameters behind the second-to-last feature map; networks list them in forward order."""
    features: Any = getattr(network, "feature_info", [])
    before = f"{features[-2]['module']}." if len(features) > 1 else None
    names = [name for name, _ in network.named_parameters()]
    positions = [position for position, name in enumerate(names) if before and name.startswith(before)]
    if not positions:
        raise SettingsError(
            f"{type(network).__name__} does not declare its stages, so the last one is unknown",
            hint=f"train all of it, or none: {hints.setting('trained', 'all')}, {hints.setting('trained', 'none')}",
            fields=("trained",),
        )
    return set(names[positions[-1] + 1 :])
