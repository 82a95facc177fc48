"""What this machine is, told without importing anything heavy: enough for the menu and for a doctor's first look."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DRIVER_SECONDS = 5.0
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Gpu:
    name: str
    memory_gib: float


@cache
def find_nvidia_gpus() -> tuple[Gpu, ...]:
    """As the driver tells them; empty where there is none, whatever PyTorch may think."""
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, check=True, timeout=_DRIVER_SECONDS)
        rows = (line.rsplit(",", 1) for line in asked.stdout.splitlines() if "," in line)
        return tuple(Gpu(name.strip(), float(memory) / 1024) for name, memory in rows)
    except (OSError, ValueError, subprocess.SubprocessError):  # a driver that is broken or hangs is none to use
        return ()


def count_cores() -> int:
    """Those this process may use, which in a container or a queue are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_memory_gib() -> float | None:
    """The machine's, or what a container may have of it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # not such a container; or its limit is the word "max"
            sizes.append(int(Path(file).read_text(encoding="ascii")))
    return min(sizes) / 2**30


def read_free_gib(place: Path) -> float:
    """On the disk that holds `place`, or would hold it."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / 2**30


def describe_device() -> str:
    gpus = find_nvidia_gpus()
    if gpus:
        return ", ".join(f"{gpu.name} ({gpu.memory_gib:.0f} GiB)" for gpu in gpus)
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return f"Apple GPU, {count_cores()} cores"
    return f"CPU, {count_cores()} cores"
