"""How soon a killed training takes its next step, beside the time to import its libraries."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.rows import report
from tests.training.small_dataset import make_small_dataset, make_train_run
from tfm.core.events import Progress
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.run import Run

pytestmark = [pytest.mark.alone, pytest.mark.long]

PROJECT = Path(__file__).resolve().parents[2]
LIBRARIES = [sys.executable, "-c", "import torch, timm, pandas, sklearn.metrics"]


def count_steps(run: Run) -> int:
    return sum(isinstance(event, Progress) and event.name == "step" for event in run.read_events())


def measure_first_step(run: Run) -> float:
    """Seconds from the start of a worker to its first step; then it is killed."""
    before, begun = count_steps(run), time.perf_counter()
    process = ThisMachine().submit(run).process
    assert process is not None
    while count_steps(run) == before:
        assert process.poll() is None, run.read_status()
        time.sleep(0.01)
    seconds = time.perf_counter() - begun
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return seconds


def test_resumed_training_takes_its_next_step_soon(workspace):
    make_small_dataset(workspace)
    run = make_train_run(workspace, "ResNet18_CFT", architecture="resnet18", epochs=100, checkpoint_seconds=0)
    first = measure_first_step(run)
    resumed = min(measure_first_step(run) for _ in range(3))
    assert (run.checkpoints_folder / "last.pt").exists()
    begun = time.perf_counter()
    subprocess.run(LIBRARIES, cwd=PROJECT, check=True)
    floor = time.perf_counter() - begun
    report("first step of a training, against importing its libraries", first, floor=floor)
    report("next step of a killed training, against importing its libraries", resumed, floor=floor, at_most=2)
