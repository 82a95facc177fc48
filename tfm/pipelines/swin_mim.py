"""Build the plan: pretrain a Swin, fine-tune it, explain it."""

from __future__ import annotations

from typing import Any

from tfm.commands.swin_mim import SwinMIM
from tfm.commands.train import Train
from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.runs.plan import Step
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import dump_plain_values
from tfm.data.cache.cache import Cache
from tfm.pipelines.train import check_settings
from tfm.training.block_masking import check_block
from tfm.training.settings import DeviceSettings

_MODEL = "SwinMIM"  # a preset that sets nothing: it names the training in every table
_SHARED = ("dataset", "cache", "fold", "architecture", "batch_size", "beta", "seed")
_IN_TRAINING = ("label_percent", "unlabelled", "pooling", "background_contrast", "attention_gamma")


def plan_swin_mim(settings: SwinMIM, workspace: Workspace) -> list[Step]:
    if settings.skip_pretrain and settings.skip_train:
        raise SettingsError(
            "without pretraining and without training there is nothing to do",
            hint=f"skip only one of them; to explain a complete run: {hints.command('explain RUN')}",
            fields=("skip_pretrain", "skip_train"),
        )
    machine = dump_plain_values(settings.machine)
    shared: dict[str, Any] = {name: getattr(settings, name) for name in _SHARED} | {"machine": machine}
    steps, weights = [], settings.weights
    if not settings.skip_pretrain:
        own: dict[str, Any] = {"epochs": settings.mim_epochs, "learning_rate": settings.mim_learning_rate}
        own |= {"masks": dump_plain_values(settings.masks), "loss_on": settings.loss_on}
        if settings.extra:
            own["extra"] = [str(folder) for folder in settings.extra]
        check_block(Cache.open(workspace.cache_folder(settings.cache)), settings.masks)
        steps.append(Step("pretrain", "pretrain", shared | own | {"weights": weights}, fresh=settings.force_pretrain))
        weights = "@pretrain.encoder"
    if not settings.skip_train:
        own = {"epochs": settings.cls_epochs, "learning_rate": settings.cls_learning_rate}
        own |= {name: getattr(settings, name) for name in _IN_TRAINING}
        # Checked before the expensive pretraining. Its first weights are also those of the training.
        check_settings(resolve(Train, {}, shared | own | {"weights": settings.weights}), workspace)
        steps.append(Step("train", "train", shared | own | {"weights": weights}, _MODEL, fresh=settings.force_train))
        if settings.visualize:
            device = {name: machine[name] for name in DeviceSettings.model_fields}
            steps.append(Step("explain", "explain", {"run": "@train.run", "machine": device}))
    return steps
