"""Whole runs in worker processes: killed, out of memory, waiting for the GPU, and started by torchrun."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.gpu.checks import Check, NotPossible, Outcome, Scale
from tests.training.results import list_differences
from tests.training.small_dataset import QUICK_SETTINGS, finish_run, make_small_dataset
from tfm.core.events import Metrics, Note
from tfm.core.runs import torchrun
from tfm.core.runs.executors import this_machine
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.job_folder import Job
from tfm.core.runs.lookup import find_run
from tfm.core.runs.plan import Step
from tfm.core.runs.resources import Resources
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.arrays import ARRAYS, array_file
from tfm.training.gpu_lock import WAITING

LOSS_DIFFERENCE = 1e-3  # of runs that add the same numbers up in another order
SECONDS = 120  # the longest wait for one process
WITH_STATE = {"ema": 0.9, "gradient_clip": 1.0, "dropout": 0.3, "precision": "bf16"}
SPECTRAL = {"beta": 1e-3, "attention_gamma": 1e-3}
LARGE = "EfficientNetB3_CFT"  # needs about 400 GiB for a batch of BATCH images of 2048²
BATCH, ENLARGEMENT = 36, 32
CPU_ENLARGEMENT, CPU_BYTES = 16, 8 * 2**30  # the address space of a process that must not fill this machine's memory


def list_run_checks(scale: Scale) -> list[Check]:
    resnet, swin = scale.pick("resnet18", "test_resnet"), scale.pick("swin_tiny_patch4_window7_224", "swin_pico")
    killed: dict[str, tuple[str, str, dict[str, Any]]] = {
        resnet: ("train", "ResNet18_CFT", {"architecture": resnet, "balance": "sampling"}),
        f"{swin} with spectral terms": ("train", "ResNet18_CFT", {"architecture": swin} | SPECTRAL),
        "DeepLabV3+": ("segment", "DeepLabV3Plus", {"backbone": scale.pick("resnet34", "resnet10t")}),
    }
    return [
        *(
            Check(f"killed run of {name} ends bit-identical", functools.partial(kill_and_resume, scale, *values))
            for name, values in killed.items()
        ),
        Check("run that needs too much memory", functools.partial(run_out_of_memory, scale)),
        Check("second run on the same GPU", functools.partial(wait_for_gpu_lock, scale)),
        Check(f"torchrun, {describe_processes(scale)}", functools.partial(run_by_torchrun, scale)),
    ]


# --- checks -----------------------------------------------------------------------------------------------------------


def kill_and_resume(scale: Scale, stage: str, preset: str, given: dict[str, Any]) -> Outcome:
    settings = QUICK_SETTINGS | WITH_STATE | {"device": str(scale.device), "epochs": scale.epochs} | given
    with make_workspace() as workspace, make_workspace() as other:
        run = make_run(workspace, stage, preset, settings | {"checkpoint_seconds": 0})
        with start_worker(run) as process:
            wait_until(lambda: count_epochs(run) > 0, run, process)
            kill(process)
        if count_epochs(run) == scale.epochs:
            raise RuntimeError("the run had ended before it was killed")
        finish_in_worker(run)
        # In this process, which saves the start of another one.
        differences = list_differences(run, finish_run(make_run(other, stage, preset, settings)))
    return Outcome(
        f"{len(differences)} values differ from an undisturbed run" + "".join(f", {name}" for name in differences[:2]),
        "0",
        not differences,
    )


def run_out_of_memory(scale: Scale) -> Outcome:
    """One worker process executes both steps: the second needs the memory that the first one had."""
    common = QUICK_SETTINGS | {"device": str(scale.device), "epochs": 1}
    large = {"dataset": "large", "cache": "large", "batch_size": BATCH}
    steps = [Step(name, "train", common | given, LARGE) for name, given in (("large", large), ("small", {}))]
    with make_workspace() as workspace:
        make_small_dataset(workspace, "large")
        enlarge_images(workspace, "large", ENLARGEMENT if scale.is_gpu else CPU_ENLARGEMENT)
        plan = find_or_create_plan(workspace, "memory", steps)
        with (
            contextlib.nullcontext() if scale.is_gpu else limit_address_space(CPU_BYTES),
            start_worker(plan) as process,
        ):
            process.wait(SECONDS)
        runs = plan.read_status().runs
        failed, next_one = (find_run(workspace, runs[step.name]).read_status() for step in steps)
    is_explained = f"too small for batches of {BATCH} images" in failed.message and "batch_size" in failed.hint
    return Outcome(
        f"{failed.state}: “{failed.message}”; the next run: {next_one.state} {next_one.message}".strip(),
        "failed in the program's words; done",
        failed.state == "failed" and is_explained and next_one.state == "done",
    )


def wait_for_gpu_lock(scale: Scale) -> Outcome:
    if not scale.is_gpu:
        raise NotPossible("runs share a CPU; only a GPU has a lock")
    settings = QUICK_SETTINGS | {"device": str(scale.device)}
    with make_workspace() as workspace:
        first = make_run(workspace, "train", "ResNet18_CFT", settings | {"epochs": 10_000})
        second = make_run(workspace, "train", "ResNet18_CFT", settings | {"epochs": 1})
        with start_worker(first) as holding:
            wait_until(lambda: count_epochs(first) > 0, first, holding)
            with start_worker(second) as waiting:
                wait_until(lambda: find_note(second, WAITING) != "", second, waiting)
                first.request_pause()
                waiting.wait(SECONDS)
        note, state = find_note(second, WAITING), second.read_status().state
    return Outcome(f"“{note}”; then {state}", "names the first run; done", first.id in note and state == "done")


def describe_processes(scale: Scale) -> str:
    return "1 process on the GPU" if scale.is_gpu else "2 processes on the CPU"


def run_by_torchrun(scale: Scale) -> Outcome:
    """Compare the losses of processes that share each step with those of one that computes all of its batches."""
    count = 1 if scale.is_gpu else 2
    settings = QUICK_SETTINGS | {"device": str(scale.device), "architecture": "test_resnet"}
    with make_workspace() as workspace, make_workspace() as other:
        shared = make_run(workspace, "train", "ResNet18_CFT", settings | {"devices": count})
        with shared.hold_lock():
            for _ in torchrun.generate_events(shared, Resources(processes=count)):
                pass
        alone = finish_run(make_run(other, "train", "ResNet18_CFT", settings | {"accumulate": count}))
        losses, expected = (pd.read_csv(run.metrics_file)["train_loss"] for run in (shared, alone))
    difference = float(((losses - expected) / expected).abs().max())
    return Outcome(
        f"losses of {len(losses)} epochs differ by {difference:.1e} from those of a run without torchrun",
        f"≤ {LOSS_DIFFERENCE:g}",
        difference <= LOSS_DIFFERENCE,
    )


# --- runs -------------------------------------------------------------------------------------------------------------


def make_run(workspace: Workspace, stage: str, preset: str, settings: dict[str, Any]) -> Run:
    run = find_or_create_job(workspace, stage, settings, [preset])
    assert isinstance(run, Run)
    return run


def finish_in_worker(run: Run) -> None:
    with start_worker(run) as process:
        process.wait(SECONDS)
    status = run.read_status()
    if status.state != "done":
        raise RuntimeError(f"the run {status.state}: {status.message}; {read_log_end(run)}")


def count_epochs(run: Run) -> int:
    return sum(isinstance(event, Metrics) for event in run.read_events())


def find_note(run: Run, start: str) -> str:
    notes = (event.text for event in run.read_events() if isinstance(event, Note))
    return next((text for text in notes if text.startswith(start)), "")


def read_log_end(job: Job) -> str:
    return " ".join(job.log_file.read_text(encoding="utf-8").split()[-40:])


# --- processes --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def start_worker(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """Start the job's worker. Nothing of it outlives the context."""
    process = this_machine.start_worker(job)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the worker and its child processes at once, as a power cut would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], bool], job: Job, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"the run ended too early: {job.read_status().message} {read_log_end(job)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the run did not get that far within {SECONDS} seconds: {read_log_end(job)}")
        time.sleep(0.02)


@contextlib.contextmanager
def limit_address_space(size: int) -> Iterator[None]:
    """Give the processes that are started meanwhile so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# --- data -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def make_workspace() -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        make_small_dataset(workspace)
        yield workspace


def enlarge_images(workspace: Workspace, cache: str, factor: int) -> None:
    for name in ARRAYS:
        path = array_file(workspace.cache_folder(cache), name)
        array = np.load(path)
        np.save(path, array.repeat(factor, axis=1).repeat(factor, axis=2))
