"""Measure what an estimate needs: the operations of a network, the speed of this machine, weights, the steps of plans.

Each function saves one piece. `core.runs.probe` calls them in a process of their own. As a process,
`python -m tfm.pipelines.probe ARCHITECTURE…` looks for the weights of these networks.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from tfm.core import registry
from tfm.core.errors import BusyError, TFMError
from tfm.core.events import Progress
from tfm.core.python_path import build_python_path
from tfm.core.registry import Planner
from tfm.core.runs.estimate_cache import EstimateCache
from tfm.core.runs.estimate_keys import (
    NETWORK_SETTINGS,
    find_architecture,
    find_input_size,
    find_machine_key,
    make_network_key,
    make_plan_key,
)
from tfm.core.runs.works import Work, read_image_size
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.data.dataset.lesion_classes import CLASS_SETS
from tfm.models.build import build_model
from tfm.models.deeplab import build_segmenter
from tfm.models.freezing import freeze, freeze_batch_norm
from tfm.models.imagenet_weights import describe_remedy, locate_imagenet_weights
from tfm.models.memory import MemoryMeter
from tfm.models.model_summary import count_parameters
from tfm.models.operations import count_operations
from tfm.models.settings import IMAGENET, ModelSettings, SegmenterSettings
from tfm.training.device import configure_torch, lock_gpu, name_gpu, resolve_device
from tfm.training.speed_probe import measure_speed

_IMAGES = 2  # in the batch that is counted
_COLOURS = ((0.5, 0.5),) * 3  # the numbers do not matter here


def learn_cost(workspace: Workspace, work: Work) -> None:
    """Count operations and memory of the network that a training builds."""
    size = read_image_size(workspace, work)
    assert size is not None
    try:
        found: dict[str, Any] = _count_cost(work, find_input_size(work, size))
    except TFMError as error:  # the training reports it
        found = {"problem": error.message}
    with EstimateCache.change() as cache:
        cache.costs[make_network_key(work, size)] = found


def _count_cost(work: Work, size: tuple[int, int]) -> dict[str, Any]:
    with torch.device("meta"):
        network = _build_network(work, size)
        images = torch.empty(_IMAGES, 1, *size, device="meta")
    forward, backward = count_operations(network, images)
    meter = MemoryMeter(network)
    with meter.watch():
        network(images)
    use = meter.measure()
    return {
        "parameters": count_parameters(network),
        "trained": count_parameters(network, trained=True),
        "forward": list(asdict(forward).values()),
        "backward": list(asdict(backward).values()),
        "memory": [use.network, use.images / _IMAGES],
    }


def _build_network(work: Work, size: tuple[int, int]) -> nn.Module:
    colours = _COLOURS if work.get("weights") == IMAGENET else ()
    values = {name: value for name, value in work.values.items() if name in NETWORK_SETTINGS}
    if work.command == "segment":
        classes = CLASS_SETS[values.pop("classes")].names
        return build_segmenter(SegmenterSettings(**values), classes, size, colours)
    settings = ModelSettings(**values)
    network = build_model(settings, size, colours)
    freeze(network, settings.trained)
    if settings.freeze_batch_norm:
        freeze_batch_norm(network)
    return network


def learn_speed(_workspace: Workspace, work: Work) -> None:
    start, memory = _measure_start()
    device = resolve_device(str(work.get("device", "auto")))
    threads = work.get("threads", "auto")
    configure_torch(torch.get_num_threads() if threads == "auto" else threads, bool(work.get("deterministic", True)))
    with contextlib.ExitStack() as held:
        if device.type == "cuda":  # a training on it would slow down, and so would this
            for event in lock_gpu(name_gpu(device), "an estimate", held):
                if isinstance(event, Progress):
                    raise BusyError("the GPU is in use", hint="wait until it is free")
        found = measure_speed(device, work.get("precision", "fp32"))
    with EstimateCache.change() as cache:
        cache.speeds[find_machine_key(work)] = {**found, "start": start, "memory_gib": memory}


def _measure_start() -> tuple[float, float]:
    """The CPU seconds until a run's process has loaded its libraries, and the GiB that it has then."""
    command = [sys.executable, "-P", "-c", "import tfm.pipelines.train"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": build_python_path()})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return used.ru_utime + used.ru_stime, used.ru_maxrss / unit


def learn_weights(_workspace: Workspace, work: Work) -> None:
    _locate_weights(find_architecture(work))


def _locate_weights(architecture: str) -> None:
    try:
        found = locate_imagenet_weights(architecture)
        file, mb, advice = found.file, found.megabytes, describe_remedy(architecture)
    except TFMError as error:  # a package that is installed without its weights
        file, mb, advice = None, None, error.hint
    with EstimateCache.change() as cache:
        cache.weights[architecture] = {
            "file": str(file) if file else None,
            "mb": mb,
            "is_reachable": file is not None or mb is not None,
            "advice": advice,
            "checked": time.time(),
        }


def learn_plan(workspace: Workspace, work: Work) -> None:
    planner = registry.find_command(work.command)
    assert isinstance(planner, Planner)
    try:
        settings = resolve(planner.settings, {}, dict(work.values))
        steps = [asdict(step) for step in planner.build_steps(settings, workspace)]
    except TFMError:  # the start reports it
        steps = []
    with EstimateCache.change() as cache:
        cache.plans[make_plan_key(workspace, work)] = steps


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        _locate_weights(_name)
