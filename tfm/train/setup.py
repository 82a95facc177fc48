"""Builds what the loop needs from settings and rows: the network with its first weights, optimizer, task, images."""

from __future__ import annotations

from pathlib import Path

import torch

from tfm.core.randomness import seed_at
from tfm.data.cache import Cache
from tfm.models.build import build
from tfm.models.settings import ModelSettings
from tfm.models.weights import load
from tfm.train.batches import Images, measure
from tfm.train.fit import Training
from tfm.train.optim import optimizer
from tfm.train.rows import Rows
from tfm.train.settings import BatchSettings, OptimSettings
from tfm.train.tasks.classify import Classify, balance


def set_up(
    model: ModelSettings,
    weights: Path | None,
    batches: BatchSettings,
    optim: OptimSettings,
    *,
    seed: int,
    cache: Cache,
    train: Rows,
    val: Rows,
    device: torch.device,
) -> Training:
    torch.manual_seed(seed_at(seed, "weights") % 2**63)
    network = build(model, cache.images.shape[1:])
    if weights is not None:
        load(network, weights)
    network.to(device)
    normalisation = measure(cache, train)
    return Training(
        network=network,
        optimizer=optimizer(network, optim),
        task=Classify(optim.label_smoothing, balance(train.labels) if optim.class_weights else 1.0),
        train=Images(cache, train, normalisation, device),
        val=Images(cache, val, normalisation, device),
        optim=optim,
        batches=batches,
        seed=seed,
    )
