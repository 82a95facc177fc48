"""A training in several processes of which one dies: halted in words within seconds, with none left; and it goes on."""

import os
import signal
import subprocess
import time

import pytest

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tests.training.test_fit import differences
from tfm.core.events import Metrics
from tfm.core.runs import worker
from tfm.core.runs.workspace import Workspace

# No layer looks at a whole batch: so two processes, whose sums are those of one that takes both batches, end in its
# bits. Long enough to be hit on the way.
ALIKE = {"architecture": "test_convnext", "epochs": 20, "batch_size": 18}


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("calm") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **ALIKE, accumulate=2))


@pytest.fixture
def run(workspace):
    make_small_dataset(workspace)
    return make_train_run(workspace, "ResNet18_CFT", **ALIKE, devices=2)


def until(condition, what: str):
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def under_way(run, epochs: int = 2):
    started = worker.start_worker(run)
    before = count(run)
    until(lambda: count(run) >= before + epochs, "it did not get under way")
    return started.process


def count(run) -> int:
    return sum(isinstance(event, Metrics) for event in run.read_events())


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in map(str.split, listed.splitlines()) if int(parent) == pid]


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_run_one_of_whose_processes_is_killed_is_halted_and_ends_bit_identical(run, calm):
    first = under_way(run)
    (other,) = children(first.pid)
    os.kill(other, signal.SIGKILL)
    assert first.wait(timeout=30) == 1
    assert run.read_status().state == "halted"
    assert run.read_status().message == "process 2 of 2 was killed (SIGKILL)"
    assert "last checkpoint" in run.read_status().hint
    assert gone(first.pid)
    assert count(run) < ALIKE["epochs"]
    assert differences(finish_run(run), calm) == []


@pytest.mark.long
def test_the_others_end_with_the_first(run, calm):
    first = under_way(run)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    until(lambda: gone(first.pid), "a process lingers")
    assert run.read_status().state == "halted"
    assert differences(finish_run(run), calm) == []


@pytest.mark.long
def test_a_wish_to_stop_that_all_of_them_get_pauses_the_run(run, calm):
    first = under_way(run)
    os.killpg(first.pid, signal.SIGTERM)
    assert first.wait(timeout=30) == worker.PAUSED_EXIT_STATUS
    assert run.read_status().state == "paused"
    assert gone(first.pid)
    assert differences(finish_run(run), calm) == []


@pytest.mark.long
def test_a_process_that_hangs_and_is_then_killed_is_noticed_by_the_first_that_waits_for_it(run):
    first = under_way(run)
    (other,) = children(first.pid)
    os.kill(other, signal.SIGSTOP)
    until(lambda: time.time() - run.folder.joinpath("events.jsonl").stat().st_mtime > 1, "it does not wait")
    os.kill(other, signal.SIGKILL)
    assert first.wait(timeout=30) == 1
    assert run.read_status().state == "halted"
