"""Check this machine: Python, PyTorch, GPU, memory, disk, codecs and weights. Or check a cluster by a real job."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from tfm.commands.doctor import Doctor
from tfm.core import hints, machine
from tfm.core.errors import TFMError
from tfm.core.events import Event, Note, Result, Table
from tfm.core.runs.cluster import THIS_MACHINE
from tfm.core.runs.executors import SlurmCluster, open_cluster
from tfm.core.runs.executors.node_check import NodeReport, check_node
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.resources import Resources
from tfm.core.runs.workspace import Workspace
from tfm.imaging.dicom import list_codecs
from tfm.models.imagenet_weights import describe_remedy, locate_imagenet_weights
from tfm.models.settings import IMAGENET
from tfm.pipelines.prove_resume import prove_resume

_NEEDED_GIB = {"memory": 8.0, "disk": 20.0}
_MARKS = {"good": "✓", "note": "·", "trouble": "✗"}


@dataclass(frozen=True)
class Finding:
    what: str
    state: Literal["good", "note", "trouble"]
    found: str
    advice: str = ""


def check(settings: Doctor, workspace: Workspace) -> Iterator[Event]:
    if settings.prove:
        yield from prove_resume(workspace)
        return
    if settings.on == THIS_MACHINE:
        title, findings = "This machine", _check_machine(workspace)
    else:
        cluster = open_cluster(workspace, settings.on)
        yield Note(f"A job asks a node of {settings.on}. It may wait {settings.wait} seconds in the queue.")
        title, findings = f"The cluster {settings.on}", [*_check_cluster(cluster, settings.wait, workspace)]
    rows = [[_MARKS[one.state], one.what, one.found, one.advice] for one in findings]
    yield Table(title, ["", "what", "found", "what to do"], rows)
    yield Result(
        {
            "ok": not any(one.state == "trouble" for one in findings),
            "findings": {one.what: {"state": one.state, "found": one.found, "advice": one.advice} for one in findings},
        }
    )


def _check_machine(workspace: Workspace) -> list[Finding]:
    return [
        _check_python(platform.python_version()),
        *_check_torch(),
        Finding("cores", "good" if machine.count_cores() > 1 else "note", str(machine.count_cores())),
        _check_memory(),
        *_check_disk(workspace.root),
        *_check_codecs(),
        *_check_weights(workspace),
    ]


def _check_cluster(cluster: SlurmCluster, seconds: float, workspace: Workspace) -> Iterator[Finding]:
    """Stop at the first problem that keeps the job from running."""
    try:
        cluster.check([Resources(uses_gpu=True)])
    except TFMError as error:
        yield Finding("sbatch", "trouble", error.message, error.hint)
        return
    yield Finding("sbatch", "good", "accepts a job")
    yield Finding("partition", "good", cluster.cluster.partition or "the default one")
    try:
        report = check_node(workspace, cluster, seconds)
    except TFMError as error:
        yield Finding("node", "trouble", error.message, error.hint)
        return
    yield Finding("node", "good", f"{report.node}: {report.device}")
    yield Finding("workspace", "good", f"{report.node} writes into {workspace.root}")
    yield _check_python(report.python)
    yield from _check_torch_of_node(report, has_gpus=cluster.cluster.gpus > 0)


def _check_torch_of_node(report: NodeReport, *, has_gpus: bool) -> Iterator[Finding]:
    if not report.torch[:1].isdigit():
        advice = "install the packages of requirements.txt for the Python of the nodes, or name another Python"
        yield Finding("PyTorch", "trouble", report.torch, advice)
        return
    yield Finding("PyTorch", "good", report.torch)
    if report.has_gpu:
        yield Finding("GPU", "good", "PyTorch can use it")
    elif not has_gpus:
        yield Finding("GPU", "note", "none, because the cluster's file asks for none", "real trainings need a GPU")
    elif report.cuda:
        advice = f"ask for a node with a GPU, whose driver is new enough for CUDA {report.cuda}"
        yield Finding("GPU", "trouble", "PyTorch finds none", advice)
    else:
        advice = "install a PyTorch that is built for GPUs, for the Python of the nodes"
        yield Finding("GPU", "trouble", "the PyTorch of the nodes is built for the CPU only", advice)


def _check_python(version: str) -> Finding:
    major, minor, *_ = version.split(".")
    if (3, 11) <= (int(major), int(minor)) <= (3, 13):
        return Finding("Python", "good", version)
    return Finding("Python", "note", version, "tested with 3.11 to 3.13: make a virtual environment with one of these")


def _check_torch() -> Iterator[Finding]:
    yield Finding("PyTorch", "good", torch.__version__)
    gpus = machine.find_nvidia_gpus()
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = (size / 2**30 for size in torch.cuda.mem_get_info(index))
            found = f"{torch.cuda.get_device_name(index)}, {free:.0f} of {total:.0f} GiB free"
            advice = "another program is using it: see nvidia-smi" if free < total / 2 else ""
            yield Finding(f"GPU {index}", "note" if advice else "good", found, advice)
    elif gpus and torch.version.cuda is None:
        yield Finding(
            "GPU",
            "trouble",
            f"{gpus[0].name} was found, but this PyTorch is built for the CPU only",
            "python -m pip install --force-reinstall torch torchvision",
        )
    elif gpus:
        yield Finding(
            "GPU",
            "trouble",
            f"{gpus[0].name} was found, but its driver is too old for this PyTorch (CUDA {torch.version.cuda})",
            "update the driver, or install a PyTorch built for an older CUDA",
        )
    else:
        yield Finding("GPU", "note", "none", "the CPU is enough for the demo; real trainings need a GPU")


def _check_memory() -> Finding:
    found = machine.read_memory_gib()
    if found is None:
        return Finding("memory", "note", "unknown on this system")
    enough = found >= _NEEDED_GIB["memory"]
    advice = "" if enough else f"use a small batch size ({hints.setting('batch_size', 4)}) and small images"
    return Finding("memory", "good" if enough else "note", f"{found:.0f} GiB", advice)


def _check_disk(root: Path) -> Iterator[Finding]:
    free = machine.read_free_gib(root)
    enough = free >= _NEEDED_GIB["disk"]
    elsewhere = f"choose another {hints.setting('workspace')}"
    advice = "" if enough else f"CBIS-DDSM needs 163 GB, its caches 1 to 10 GB: free some space, or {elsewhere}"
    yield Finding("disk", "good" if enough else "note", f"{free:.0f} GiB free for {root}", advice)
    place = root
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK | os.X_OK):
        yield Finding("workspace", "good", f"{root} is writable")
    else:
        yield Finding("workspace", "trouble", f"{place} is not writable", elsewhere)


def _check_codecs() -> Iterator[Finding]:
    missing = [name for name, works in list_codecs().items() if not works]
    if missing:
        advice = 'python -m pip install "pylibjpeg[all]"'
        yield Finding("DICOM codecs", "trouble", f"cannot decode {', '.join(missing)}", advice)
    else:
        yield Finding("DICOM codecs", "good", ", ".join(list_codecs()))


def _check_weights(workspace: Workspace) -> Iterator[Finding]:
    """One row for all models whose weights are in the same place, or need the same remedy."""
    models: dict[tuple[str, str], list[str]] = {}  # what was found, and the advice
    for name in workspace.list_presets("models"):
        try:
            preset = find_preset(workspace, "train", name)
        except TFMError as error:
            yield Finding(f"model {name}", "trouble", error.message, error.hint)
            continue
        model = preset.settings.get("model", {}) if preset else {}
        architecture = model.get("architecture") or model.get("backbone")
        if model.get("weights") == IMAGENET and architecture:
            where = locate_imagenet_weights(architecture)
            without, from_file = hints.setting("weights", "none"), hints.setting("weights", "file:PATH")
            advice = f"{describe_remedy(architecture)}, or train with {without} or {from_file}"
            models.setdefault((where.describe(), "" if where.is_reachable else advice), []).append(name)
    for (found, advice), names in models.items():
        yield Finding(f"weights of {', '.join(names)}", "note" if advice else "good", found, advice)
