"""Networks of the model presets, built once each."""

import copy
from functools import cache

import pytest
import torch

from tfm.core.registry import find_stage
from tfm.core.settings import presets
from tfm.core.settings.resolve import resolve
from tfm.models.build import build_model
from tfm.models.freezing import freeze, freeze_batch_norm
from tfm.models.settings import ModelSettings

SIZE = (64, 64)
PRESETS = presets.list_presets("models")
SWIN = "swin_tiny_patch4_window7_224"
NETWORKS = [name for name in PRESETS if presets.load_preset("models", name).stage == "train"]  # the others are plans


def load_model_settings(name: str) -> ModelSettings:
    preset = presets.load_preset("models", name)
    return resolve(find_stage("train").settings, preset.settings, {"dataset": "d", "cache": "c"}).model


def build_once(architecture: str, **given) -> torch.nn.Module:
    return _build(ModelSettings(architecture=architecture, **given))


@cache
def _build(settings: ModelSettings) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(settings, SIZE)


def build_network(settings: ModelSettings) -> torch.nn.Module:
    shape = {name: getattr(settings, name) for name in ("head", "max_pooling", "lesion_guidance")}
    network = copy.deepcopy(build_once(settings.architecture, **shape))
    freeze(network, settings.trained)
    if settings.freeze_batch_norm:
        freeze_batch_norm(network)
    return network


CASES = [pytest.param(load_model_settings(name), id=name) for name in NETWORKS] + [
    pytest.param(ModelSettings(architecture=SWIN, trained=trained), id=f"swin-{trained}")
    for trained in ("all", "last_stage")
]
