"""From a name and settings to a network with one grey channel in and one logit out. Weights are loaded elsewhere."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any

import timm
from torch import nn

from tfm.core.errors import SettingsError
from tfm.models import zoo
from tfm.models.settings import ModelSettings


def zoo_names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(zoo.__path__)]


def in_zoo(architecture: str) -> bool:
    return architecture.lower() in zoo_names()


def build(settings: ModelSettings, in_size: tuple[int, int]) -> nn.Module:
    """Its first weights come from torch's generator: seed that before."""
    check(settings.architecture)
    if in_zoo(settings.architecture):
        module = importlib.import_module(f"{zoo.__name__}.{settings.architecture.lower()}")
        network: nn.Module = module.build(settings.dropout, in_size)
        return network
    # A transformer is built for one size of image; a convolutional network takes any.
    card = timm.get_pretrained_cfg(settings.architecture)
    sized: dict[str, Any] = {"img_size": in_size} if card and card.fixed_input_size else {}
    return timm.create_model(settings.architecture, in_chans=1, num_classes=1, drop_rate=settings.dropout, **sized)


def check(architecture: str) -> None:
    if in_zoo(architecture) or timm.is_model(architecture):
        return
    known = {name.lower(): name for name in (*zoo_names(), *timm.list_models())}
    close = difflib.get_close_matches(architecture.lower(), known, n=3)
    raise SettingsError(
        f"there is no architecture called {architecture!r}",
        hint=f"did you mean {' or '.join(known[name] for name in close)}?"
        if close
        else "choose MammoCNN or a timm name",
        fields=("architecture",),
    )
