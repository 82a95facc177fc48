"""What this machine has: GPUs, cores, memory and disk space. Nothing heavy is imported, so that the menu opens fast."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tfm.core import files

DRIVER_TIMEOUT_SECONDS = 5.0
CONTAINER_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# Counts on while the machine sleeps, on Linux and on macOS. Windows has neither.
_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


@dataclass(frozen=True)
class Gpu:
    name: str
    memory_gib: float


@cache
def find_nvidia_gpus() -> tuple[Gpu, ...]:
    """The GPUs that the driver reports; none if there is no working driver."""
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=DRIVER_TIMEOUT_SECONDS)
        rows = (line.rsplit(",", 1) for line in answer.stdout.splitlines() if "," in line)
        return tuple(Gpu(name.strip(), float(memory) / 1024) for name, memory in rows)
    except (OSError, ValueError, subprocess.SubprocessError):  # the driver is broken or hangs
        return ()


def count_cores() -> int:
    """The cores this process may use: in a container or a cluster job, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_memory_gib() -> float | None:
    """The memory of the machine, or the limit of its container."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in CONTAINER_LIMIT_FILES:
        with contextlib.suppress(OSError, ValueError):  # no such container, or the limit is the word "max"
            sizes.append(int(Path(file).read_text(encoding="ascii")))
    return min(sizes) / 2**30


def read_peak_memory_gib() -> float | None:
    """The most memory that this process has held; None where the system does not count it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**30 if platform.system() == "Darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class SteadyClock:
    """The time of day since 1970, which does not jump when the clock of the machine is set meanwhile."""

    def __init__(self) -> None:
        self._offset = time.time() - _count_seconds()

    def read(self) -> float:
        return self._offset + _count_seconds()


def _count_seconds() -> float:
    return time.monotonic() if _STEADY_CLOCK is None else time.clock_gettime(_STEADY_CLOCK)


def measure_sync_seconds(folder: Path, times: int, at_most: float) -> list[float]:
    """The seconds of some small writes that the disk must confirm, each of a file and its folder. Stop after `at_most`
    seconds."""
    found: list[float] = []
    while len(found) < times and sum(found) < at_most:
        began = time.perf_counter()
        files.write_bytes(folder / "sync", bytes(4096))
        found.append(time.perf_counter() - began)
    return found


def read_free_gib(place: Path) -> float:
    """The free space on the disk of `place`, which need not exist yet."""
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
