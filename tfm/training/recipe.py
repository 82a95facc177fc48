"""Builds what the loop needs from settings and rows: the network with its first weights, optimizer and images."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from tfm.core.randomness import seed_at
from tfm.data.cache.cache import Cache
from tfm.models.build import build_model
from tfm.models.freezing import freeze
from tfm.models.masked_image_model import MaskedImageModel
from tfm.models.settings import ModelSettings
from tfm.models.weights import load_weights
from tfm.training.batches import Images, Normalisation
from tfm.training.inputs.samples import Rows
from tfm.training.optimizer import optimizer
from tfm.training.precision import scaler
from tfm.training.settings import BatchSettings, MachineSettings, MaskSettings, OptimSettings
from tfm.training.state import Training
from tfm.training.tasks import Task


def network_of(model: ModelSettings, weights: Path | None, in_size: tuple[int, int], seed: int) -> nn.Module:
    torch.manual_seed(seed_at(seed, "weights") % 2**63)
    network = build_model(model, in_size)
    if weights is not None:
        load_weights(network, weights)
    freeze(network, model.trained)
    return network


def rebuilder_of(
    model: ModelSettings, weights: Path | None, in_size: tuple[int, int], seed: int, masks: MaskSettings
) -> MaskedImageModel:
    return MaskedImageModel(network_of(model, weights, in_size, seed), masks.block, masks.fill)


def _compiled(network: nn.Module) -> nn.Module:
    """What is computed never hangs on what came first: each number of images is a graph of its own, and those of
    trainings before this one in the same process are forgotten, for from some number on torch compiles no more."""
    torch.compiler.reset()
    return cast(nn.Module, torch.compile(network, dynamic=False))


def set_up(
    network: nn.Module,
    task: Task,
    batches: BatchSettings,
    optim: OptimSettings,
    machine: MachineSettings,
    *,
    seed: int,
    cache: Cache,
    train: Rows,
    val: Rows,
    normalisation: Normalisation,
    device: torch.device,
) -> Training:
    network.to(device)
    if machine.channels_last:
        network.to(memory_format=torch.channels_last)
    return Training(
        network=network,
        stepped=_compiled(network) if machine.compile else network,
        optimizer=optimizer(network, optim),
        scaler=scaler(machine.precision, device),
        # A decay that grows: at first the average is that of all steps so far.
        ema=ModelEmaV3(network, decay=optim.ema, use_warmup=True, warmup_power=1.0) if optim.ema else None,
        task=task,
        train=Images(cache, train, normalisation, device),
        val=Images(cache, val, normalisation, device),
        optim=optim,
        batches=batches,
        batch_size=0 if batches.batch_size == "auto" else batches.batch_size,
        precision=machine.precision,
        seed=seed,
    )
