"""Measure how fast this machine trains: a few real steps of three cheap networks.

The first is limited by arithmetic, the second has convolutions by channel, the third moves much memory. Together they
tell the seconds for each kind of work, with which the time of other networks is estimated.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import nn
from torch.nn import functional

from tfm.models.build import build_model
from tfm.models.operations import Operations, count_operations
from tfm.models.settings import ModelSettings
from tfm.training import augment
from tfm.training.checkpoint import write_checkpoint
from tfm.training.precision import autocast
from tfm.training.settings import AugmentSettings

_NETWORKS = ("resnet18", "tf_efficientnet_lite0", "swin_pico")
_SIDE, _CPU_BATCH, _GPU_BATCH = 256, 4, 32
_REPEATS = {"cpu": 3, "cuda": 5}
_AUGMENTED_SIDE = 512
_SAVED_MB = 20
_FRESH_MB = 64


def measure_speed(device: torch.device, precision: str) -> dict[str, Any]:
    """The fields of `core.runs.work_costs.Speed` that depend on the device."""
    passes = [_measure_network(name, device, precision) for name in _NETWORKS]
    forward, backward = (solve_rates([(one[0][part], one[1][part]) for one in passes]) for part in (0, 1))
    fresh = _measure_fresh_memory(device)
    return {
        "forward": (*forward, fresh),
        "backward": (*backward, fresh),
        "augmentation": _measure_augmentation(device),
        "saved_mb": _measure_saving(),
    }


def solve_rates(measured: list[tuple[Operations, float]]) -> tuple[float, ...]:
    """The seconds for 10⁹ of each kind of operation that explain the measurements best; none is negative. The networks
    are too small for fresh memory, which is measured apart."""
    amounts = np.array([[one.arithmetic, one.memory, one.by_channel] for one, _ in measured])
    seconds = np.array([time for _, time in measured])
    rates, _ = nnls(amounts / seconds[:, None], np.ones(len(seconds)))  # relative errors
    return tuple(rates.tolist())


def _measure_network(
    architecture: str, device: torch.device, precision: str
) -> tuple[tuple[Operations, Operations], tuple[float, float]]:
    """Operations and seconds of the forward and the backward pass of an image."""
    settings, size = ModelSettings(architecture=architecture), (_SIDE, _SIDE)
    count = _GPU_BATCH if device.type == "cuda" else _CPU_BATCH
    with torch.device("meta"):
        operations = count_operations(build_model(settings, size), torch.empty(2, 1, *size, device="meta"))
    network = build_model(settings, size).to(device)
    images, labels = torch.randn(count, 1, *size, device=device), torch.ones(count, 1, device=device)

    def train() -> None:
        network.train()
        with autocast(precision, device):
            loss = functional.binary_cross_entropy_with_logits(network(images).float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    trained = _time(train, device)
    evaluated = _time(lambda: _evaluate(network, images, precision), device)
    return operations, (evaluated / count, max(trained - evaluated, 0.0) / count)


@torch.inference_mode()
def _evaluate(network: nn.Module, images: torch.Tensor, precision: str) -> None:
    network.eval()
    with autocast(precision, images.device):
        network(images)


def _measure_fresh_memory(device: torch.device) -> float:
    """Seconds for 10⁹ bytes of memory from the system, beyond those that writing into it takes anyway."""
    if device.type == "cuda":  # torch keeps a GPU's memory
        return 0.0
    tensor = torch.ones(_FRESH_MB * 2**18)
    target = torch.empty_like(tensor)
    both = [_time(act, device) for act in (lambda: tensor * 2, lambda: torch.mul(tensor, 2, out=target))]
    return max(both[0] - both[1], 0.0) / tensor.nbytes * 1e9


def _measure_augmentation(device: torch.device) -> float:
    """Seconds for 10⁶ pixels."""
    count = _GPU_BATCH if device.type == "cuda" else _CPU_BATCH
    images = torch.rand(count, 1, _AUGMENTED_SIDE, _AUGMENTED_SIDE, device=device)
    table, settings = augment.draw_table(0, 0, count), AugmentSettings()
    return _time(lambda: augment.augment_images(images, table, settings), device) / images.numel() * 1e6


def _measure_saving() -> float:
    with tempfile.TemporaryDirectory() as folder:
        tensor = torch.randn(_SAVED_MB * 250_000)
        return _time(lambda: write_checkpoint(Path(folder) / "probe.pt", {"tensor": tensor}), tensor.device) / _SAVED_MB


def _time(act: Callable[[], object], device: torch.device) -> float:
    """The median of a few times. On a CPU, this thread takes part in all that is computed, and the time in which other
    programs displace it does not count."""
    read_clock = time.thread_time if device.type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(_REPEATS[device.type] + 1):  # the first one also prepares
        began = read_clock()
        act()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(read_clock() - began)
    return statistics.median(seconds[1:])
