"""Where a run computes: its device, threads, deterministic arithmetic, and its lock on a shared GPU."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from tfm.core import hints, machine
from tfm.core.errors import HaltedError, TrainingError
from tfm.core.events import Event, Note
from tfm.core.runs.run import Run
from tfm.training import gpu_lock
from tfm.training.settings import DeviceSettings, MachineSettings

_THREADS = torch.get_num_threads()  # before a run in this process sets its own


def prepare_device(
    settings: DeviceSettings, run: Run, held: contextlib.ExitStack
) -> Generator[Event, None, torch.device]:
    """Choose device and threads at the first start, and the same ones on resume. Wait for the GPU and lock it.

    `held` frees the GPU. By then no variable of the caller may still refer to something in its memory.
    """
    began = run.read_environment()
    if settings.device == "auto" and "device" in began:
        device = _resolve_same_device(began["device"], run)
    else:
        device = resolve_device(settings.device)
    if device.type == "cpu" and settings.device == "auto" and shutil.which("nvidia-smi") and not torch.version.cuda:
        yield Note(
            "this machine has an NVIDIA driver, but the installed PyTorch is the CPU-only build: training on the CPU; "
            "https://pytorch.org/get-started explains how to install the other build",
            "warning",
        )
    threads = began.get("threads", _THREADS) if settings.threads == "auto" else settings.threads
    configure_torch(threads, settings.deterministic)
    now = {"device": str(device), "device_name": _name_device(device), "threads": threads, "torch": torch.__version__}
    yield from _warn_about_changes(began, now)
    run.save_start_facts(**now, deterministic=settings.deterministic)
    if device.type == "cuda":
        count = settings.devices if isinstance(settings, MachineSettings) else 1
        gpus = [get_nth_device(device, number) for number in range(count)]
        for name in sorted(map(name_gpu, gpus)):
            yield from lock_gpu(name, run.id, held)
    held.push(_free_memory)  # before the lock is released
    return device


def _free_memory(_kind: Any, error: BaseException | None, _trace: Any) -> None:
    """Free the GPU's memory for the next run. An error keeps the variables of all frames it passed alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    torch.cuda.empty_cache()


def _resolve_same_device(device: str, run: Run) -> torch.device:
    try:
        return resolve_device(device)
    except TrainingError as error:
        raise HaltedError(
            f"{run.id} started on {device}, and {error.message}",
            hint=f"make that device available again, or start the run anew on another one: {run.describe_restart()}",
        ) from None


def _warn_about_changes(began: dict[str, Any], now: dict[str, Any]) -> Iterator[Event]:
    """Another number of threads or another version adds numbers up in another order."""
    changed = [
        f"{name.replace('_', ' ')} {began[name]} (now {value})"
        for name, value in now.items()
        if began.get(name, value) != value
    ]
    if changed:
        yield Note(
            f"this run started with {', '.join(changed)}: its result will not be bit-identical to an undisturbed run's",
            "warning",
        )


def resolve_device(wanted: str) -> torch.device:
    usable = torch.cuda.is_available()
    if wanted == "auto":
        return torch.device("cuda:0" if usable else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (not usable or device.index >= torch.cuda.device_count()):
        raise TrainingError(
            f"{wanted} cannot be used: "
            + (f"there are {torch.cuda.device_count()} GPUs" if usable else "PyTorch finds no usable GPU"),
            hint=f"choose one of them by {hints.setting('device', 'cuda:N')}, or fewer {hints.setting('devices')}"
            if usable
            else f"choose {hints.setting('device', 'auto')} or cpu, or repair the GPU's driver: `nvidia-smi` must list "
            "the GPU",
        )
    return device


def get_nth_device(first: torch.device, number: int) -> torch.device:
    """The device of another process: GPUs follow one another, the CPU is shared."""
    return resolve_device(f"cuda:{first.index + number}") if first.type == "cuda" else first


def configure_torch(threads: int, deterministic: bool) -> None:
    torch.set_num_threads(threads)
    if deterministic:
        # cuBLAS reads this when it starts. Without it, free memory decides the order of its sums.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def warn_about_memory(needed: int, device: torch.device) -> Iterator[Event]:
    """Warn before the first step of a training that needs more bytes than the device has."""
    if device.type == "cuda":
        whole: float | None = torch.cuda.get_device_properties(device).total_memory / 2**30
    else:
        whole = machine.read_memory_gib()
    if whole is not None and needed / 2**30 > whole:
        yield Note(
            f"this training needs about {needed / 2**30:.1f} GiB of memory, and this machine has {whole:.1f}: it will "
            f"fail or be very slow. Choose a smaller {hints.setting('batch_size')}, or smaller images",
            "warning",
        )


def describe_arithmetic(device: torch.device) -> dict[str, Any]:
    """What the last bits of a result depend on, apart from the computation itself."""
    return {
        "device_name": _name_device(device),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
    }


def _name_device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def name_gpu(device: torch.device) -> str:
    """The card's own identifier, as two processes may number the cards differently."""
    return f"gpu-{torch.cuda.get_device_properties(device).uuid}"


def lock_gpu(name: str, run: str, held: contextlib.ExitStack) -> Iterator[Event]:
    """One run at a time uses a GPU, over all workspaces."""
    yield from gpu_lock.acquire_lock(Path(tempfile.gettempdir()) / f"tfm-{name}.lock", "the GPU", run, held)
