"""What is known about the cost of models on this machine: a small file of the user's, shared by all workspaces.

It is written by the background process of `estimates`, and losing it costs only time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from tfm.core import files, machine

_SECTIONS = ("costs", "speeds", "paces", "weights", "plans", "harvested")
_FORMAT = "3"  # of the file: raise it when what a section holds changes


def find_cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfm"


class EstimateCache:
    """Sections of plain values by key.

    Attributes:
        costs: of a network at an image size, in operations and bytes: the same on any machine.
        speeds: of this machine: seconds for an operation, by device and number of threads.
        paces: of finished runs on this machine: seconds for an image.
        weights: where the ImageNet weights of an architecture are, and when this was checked.
        plans: the steps of plans.
        harvested: by workspace, the runs whose pace was read.
    """

    def __init__(self, content: Mapping[str, Any] | None = None) -> None:
        known = content or {}
        self.costs, self.speeds, self.paces, self.weights, self.plans, self.harvested = (
            dict(known.get(name, {})) for name in _SECTIONS
        )

    @classmethod
    def load(cls) -> EstimateCache:
        """The cache as it is now; an empty one if there is none yet, or if it is damaged."""
        changed = cls.find_last_change()
        return cls(_read(_get_file(), changed)) if changed else cls()

    @classmethod
    def find_last_change(cls) -> int:
        """When the cache was saved; 0 if there is none."""
        try:
            return _get_file().stat().st_mtime_ns
        except OSError:
            return 0

    @classmethod
    @contextlib.contextmanager
    def change(cls) -> Iterator[EstimateCache]:
        """Yield the cache, and save what the block changed. A folder that cannot be written loses the changes."""
        file = _get_file()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(file.with_suffix(".lock")).acquire()
        except OSError:
            yield cls()
            return
        with lock:
            cache = cls.load()
            yield cache
            with contextlib.suppress(OSError):
                files.write_json(file, {name: getattr(cache, name) for name in _SECTIONS})


def _get_file() -> Path:
    return find_cache_folder() / f"estimates-{_FORMAT}.json"


@functools.lru_cache(maxsize=1)
def _read(file: Path, _changed: int) -> dict[str, Any]:
    try:
        content = files.read_json(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def make_key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


def name_device(device: str) -> str:
    """The device of a run on this machine by its name, without torch: the CPU, or the first GPU."""
    gpus = machine.find_nvidia_gpus()
    return gpus[0].name if gpus and device != "cpu" else "CPU"


def make_machine_key(device: str, threads: int | str, precision: str) -> str:
    """What the speed of a training depends on, apart from its network and images."""
    count = int(os.environ.get("OMP_NUM_THREADS") or machine.count_cores()) if threads == "auto" else int(threads)
    return make_key(socket.gethostname(), name_device(device), count, precision, _read_torch_version())


@functools.cache
def _read_torch_version() -> str:
    return version("torch")
