"""Where a run computes: its device, its threads, bit-for-bit repeatable arithmetic, and its turn on a shared GPU."""

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

from tfm.core import hints
from tfm.core.errors import HaltedError, TrainingError
from tfm.core.events import Event, Note
from tfm.core.runs.run import Run
from tfm.training import gpu_lock
from tfm.training.settings import DeviceSettings, MachineSettings

_THREADS = torch.get_num_threads()  # before a run in this process has chosen its own


def prepare(settings: DeviceSettings, run: Run, held: contextlib.ExitStack) -> Generator[Event, None, torch.device]:
    """Resolve device and threads at the first start and set the same again on resume; `run` remembers them. A GPU is
    waited for, and is `run`'s until `held` is closed, by when the caller's own frame should know nothing that lies in
    its memory."""
    began = run.read_environment()
    if settings.device == "auto" and "device" in began:
        device = _as_it_began(began["device"], run)
    else:
        device = resolve(settings.device)
    if device.type == "cpu" and settings.device == "auto":
        yield from _unused_gpu()
    threads = began.get("threads", _THREADS) if settings.threads == "auto" else settings.threads
    compute_with(threads, settings.deterministic)
    goes_on = {"device": str(device), "device_name": _name(device), "threads": threads, "torch": torch.__version__}
    yield from _other_than_it_began(began, goes_on)
    run.save_start_facts(**goes_on, deterministic=settings.deterministic)
    if device.type == "cuda":
        count = settings.devices if isinstance(settings, MachineSettings) else 1
        for name in sorted(_gpu_name(nth(device, number)) for number in range(count)):
            yield from take_turn(name, run.id, held)
    held.push(_free_memory)  # while it is still this run's turn
    return device


def _free_memory(_kind: Any, error: BaseException | None, _trace: Any) -> None:
    """What a run leaves must not take memory from the next. An error on its way out still holds all that the frames it
    came through knew."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    torch.cuda.empty_cache()


def _as_it_began(device: str, run: Run) -> torch.device:
    try:
        return resolve(device)
    except TrainingError as error:
        raise HaltedError(
            f"{run.id} began on {device}, and {error.message}",
            hint=f"give it that device again, or start it anew on another: {run.describe_restart()}",
        ) from None


def _other_than_it_began(began: dict[str, Any], goes_on: dict[str, Any]) -> Iterator[Event]:
    """Another number of threads, another version: sums are taken in another order."""
    changed = [
        f"{name.replace('_', ' ')} {began[name]} (now {now})"
        for name, now in goes_on.items()
        if began.get(name, now) != now
    ]
    if changed:
        yield Note(
            f"this run began with {', '.join(changed)}: it will not end bit for bit as an undisturbed one", "warning"
        )


def resolve(wanted: str) -> torch.device:
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
            else f"choose "
            f"{hints.setting('device', 'auto')} or cpu, or mend the GPU's driver: `nvidia-smi` must list it",
        )
    return device


def nth(first: torch.device, number: int) -> torch.device:
    """That of another process: GPUs follow one another, the CPU serves all."""
    return resolve(f"cuda:{first.index + number}") if first.type == "cuda" else first


def _unused_gpu() -> Iterator[Event]:
    if shutil.which("nvidia-smi") and torch.version.cuda is None:
        yield Note(
            "there is a GPU driver on this machine, but this PyTorch is the CPU-only build: training on the CPU; "
            "https://pytorch.org/get-started says how to install the other",
            "warning",
        )


def compute_with(threads: int, deterministic: bool) -> None:
    torch.set_num_threads(threads)
    if deterministic:
        # cuBLAS reads this when it starts; without it, it chooses by free memory how to add up.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def arithmetic(device: torch.device) -> dict[str, Any]:
    """What the last bits of a result hang on, beside what is computed."""
    return {
        "device_name": _name(device),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _gpu_name(device: torch.device) -> str:
    """The card's own, so that two processes that number the cards differently mean the same one."""
    return f"gpu-{torch.cuda.get_device_properties(device).uuid}"


def take_turn(name: str, run: str, held: contextlib.ExitStack) -> Iterator[Event]:
    """One run at a time on a GPU, over all workspaces."""
    yield from gpu_lock.take(Path(tempfile.gettempdir()) / f"tfm-{name}.lock", "the GPU", run, held)
