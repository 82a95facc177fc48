"""Kills of the processes of one training: it is halted within seconds, no process is left, and ends bit-identical."""

import os
import signal
import subprocess
import time

import pytest

from tests.training.results import list_differences
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.core.events import Metrics
from tfm.core.runs import worker
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.workspace import Workspace

# Without batch statistics, two processes end with the bits of one that accumulates two batches. Long enough to be
# killed on the way.
SETTINGS = {"architecture": "test_convnext", "epochs": 20, "batch_size": 18}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("calm") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **SETTINGS, accumulate=2))


@pytest.fixture
def run(workspace):
    make_small_dataset(workspace)
    return make_train_run(workspace, "ResNet18_CFT", **SETTINGS, devices=2)


def wait_until(condition, what: str):
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def start(run, epochs: int = 2):
    started = ThisMachine().submit(run)
    before = count_epochs(run)
    wait_until(lambda: count_epochs(run) >= before + epochs, "it did not start")
    return started.process


def count_epochs(run) -> int:
    return sum(isinstance(event, Metrics) for event in run.read_events())


def list_children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in map(str.split, listed.splitlines()) if int(parent) == pid]


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_run_with_a_killed_process_is_halted_and_ends_bit_identical(run, undisturbed):
    first = start(run)
    (other,) = list_children(first.pid)
    os.kill(other, signal.SIGKILL)
    assert first.wait(timeout=30) == 1
    assert run.read_status().state == "halted"
    assert run.read_status().message == "process 2 of 2 was killed (SIGKILL)"
    assert "last checkpoint" in run.read_status().hint
    assert is_gone(first.pid)
    assert count_epochs(run) < SETTINGS["epochs"]
    assert list_differences(finish_run(run), undisturbed) == []


@pytest.mark.long
def test_other_processes_end_with_the_first(run, undisturbed):
    first = start(run)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    wait_until(lambda: is_gone(first.pid), "a process lingers")
    assert run.read_status().state == "halted"
    assert list_differences(finish_run(run), undisturbed) == []


@pytest.mark.long
def test_terminating_all_processes_pauses_the_run(run, undisturbed):
    first = start(run)
    os.killpg(first.pid, signal.SIGTERM)
    assert first.wait(timeout=30) == worker.PAUSED_EXIT_STATUS
    assert run.read_status().state == "paused"
    assert is_gone(first.pid)
    assert list_differences(finish_run(run), undisturbed) == []


@pytest.mark.long
def test_first_process_notices_that_a_hanging_process_was_killed(run):
    first = start(run)
    (other,) = list_children(first.pid)
    os.kill(other, signal.SIGSTOP)
    wait_until(lambda: time.time() - run.folder.joinpath("events.jsonl").stat().st_mtime > 1, "it does not wait")
    os.kill(other, signal.SIGKILL)
    assert first.wait(timeout=30) == 1
    assert run.read_status().state == "halted"
