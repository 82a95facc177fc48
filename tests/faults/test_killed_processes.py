"""Ends of the processes of one training: it is halted within seconds, no process is left, and it ends bit-identical."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.results import list_differences
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.core.events import Metrics, Note, Progress
from tfm.core.runs import worker
from tfm.core.runs.executors import find_executor
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.checkpoint import read_checkpoint

PROJECT = Path(__file__).resolve().parents[2]
# Without batch statistics, two processes end with the bits of one that accumulates two batches. 36 images in steps of
# 2 × 14 leave a smaller last step. Long enough to be killed on the way.
SETTINGS = {"architecture": "test_convnext", "epochs": 20, "batch_size": 14}
LISTENING = "0A"  # the state of a socket in /proc/net/tcp


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    workspace = Workspace(tmp_path_factory.mktemp("calm") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **SETTINGS, accumulate=2))


@pytest.fixture
def small_workspace(workspace: Workspace) -> Workspace:
    make_small_dataset(workspace)
    return workspace


@pytest.fixture
def run(small_workspace: Workspace) -> Run:
    return make_train_run(small_workspace, "ResNet18_CFT", **SETTINGS, devices=2)


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def start(run: Run, epochs: int = 2) -> subprocess.Popen[bytes]:
    process = find_executor(run).submit(run).process
    assert process is not None
    before = count_epochs(run)
    wait_until(lambda: count_epochs(run) >= before + epochs, "it did not start")
    return process


def count_epochs(run: Run) -> int:
    return sum(isinstance(event, Metrics) for event in run.read_events())


def list_processes(parent: int) -> list[int]:
    """The ids of a process's children, and of theirs."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [(int(child), int(above)) for child, above in map(str.split, listed.splitlines())]

    def walk(parent: int) -> Iterator[int]:
        for child, above in pairs:
            if above == parent:
                yield child
                yield from walk(child)

    return list(walk(parent))


def find_ranks(process: subprocess.Popen[bytes]) -> list[int]:
    return list_processes(process.pid)[1:]  # the first one is torchrun


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def assert_gone(pids: list[int]) -> None:
    wait_until(lambda: all(map(is_gone, pids)), "a process is left")


def test_training_with_a_killed_process_is_halted_and_leaves_no_process(run):
    """That it ends bit-identical is a long test, as starting two processes takes seconds."""
    worker_process = start(run)
    *_, last = ranks = find_ranks(worker_process)
    assert len(ranks) == 2
    assert list_listening_addresses([worker_process.pid, *list_processes(worker_process.pid)]) <= {"127.0.0.1", "::1"}
    os.kill(last, signal.SIGKILL)
    assert worker_process.wait(timeout=60) == 1
    status = run.read_status()
    assert (status.state, status.message) == ("halted", "a process of this training was killed or has crashed")
    assert "last checkpoint" in status.hint
    assert_gone(ranks)
    assert count_epochs(run) < SETTINGS["epochs"]


def list_listening_addresses(pids: list[int]) -> set[str]:
    """The addresses at which these processes listen."""
    links = (str(link.readlink()) for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir())
    own = {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", link))}
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = line.split()[:10]
            if state == LISTENING and inode in own:
                number = address.partition(":")[0]
                loopback = {"0100007F": "127.0.0.1", "00000000000000000000000001000000": "::1"}
                addresses.add(loopback.get(number, number))
    assert addresses, "the processes of a training listen for one another"
    return addresses


@pytest.mark.long
@pytest.mark.parametrize("whose", ["worker", "torchrun", "first process", "last process"])
def test_all_processes_end_with_each_of_them(run, undisturbed, whose):
    process = start(run)
    agent, *ranks = pids = list_processes(process.pid)
    ends = {"worker": process.pid, "torchrun": agent, "first process": ranks[0], "last process": ranks[-1]}
    os.kill(ends[whose], signal.SIGKILL)
    process.wait(timeout=60)
    assert_gone(pids)
    assert run.read_status().state == "halted"
    assert list_differences(finish_run(run), undisturbed) == []


@pytest.mark.long
@pytest.mark.parametrize("how", ["request", "signal"])
def test_pause_saves_a_checkpoint_and_ends_all_processes(run, undisturbed, how):
    process = start(run)
    pids = list_processes(process.pid)
    run.request_pause() if how == "request" else process.terminate()
    assert process.wait(timeout=60) == worker.PAUSED_EXIT_STATUS
    assert run.read_status().state == "paused"
    assert_gone(pids)
    steps_seen = sum(isinstance(event, Progress) and event.name == "step" for event in run.read_events())
    steps_saved = read_checkpoint(run.checkpoints_folder / "last.pt")["standing"]["step"]
    assert 0 < steps_seen <= steps_saved
    assert list_differences(finish_run(run), undisturbed) == []


@pytest.mark.long
def test_hanging_process_that_is_killed_halts_the_training(run):
    process = start(run)
    *_, last = find_ranks(process)
    os.kill(last, signal.SIGSTOP)
    wait_until(lambda: time.time() - run.folder.joinpath("events.jsonl").stat().st_mtime > 1, "it does not wait")
    os.kill(last, signal.SIGKILL)
    assert process.wait(timeout=60) == 1
    assert run.read_status().state == "halted"


@pytest.mark.long
def test_three_processes_killed_twice_end_with_the_bits_of_three_undisturbed_ones(small_workspace, tmp_path):
    """A sum over three depends on its order; a sum over two does not."""
    given = SETTINGS | {"devices": 3, "checkpoint_seconds": 0, "batch_size": 5}
    run = make_train_run(small_workspace, "ResNet18_CFT", **given)
    for _ in range(2):
        process = start(run, epochs=3)
        os.kill(find_ranks(process)[1], signal.SIGKILL)
        assert process.wait(timeout=60) == 1
    calm = Workspace(tmp_path / "calm")
    make_small_dataset(calm)
    undisturbed = finish_run(make_train_run(calm, "ResNet18_CFT", **given))
    assert count_epochs(run) < SETTINGS["epochs"]
    assert list_differences(finish_run(run), undisturbed) == []


@pytest.mark.long
def test_second_node_joins_with_the_printed_command(run, small_workspace):
    shared = make_train_run(small_workspace, "ResNet18_CFT", **SETTINGS | {"epochs": 2}, devices=1, nodes=2)
    process = find_executor(shared).submit(shared).process
    assert process is not None
    other = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *shlex.split(read_command(shared))[1:]], cwd=PROJECT
    )
    assert process.wait(timeout=120) == 0, shared.read_status().message
    assert other.wait(timeout=60) == 0
    alone = make_train_run(small_workspace, "ResNet18_CFT", **SETTINGS | {"epochs": 2}, accumulate=2)
    assert list_differences(shared, finish_run(alone)) == []


def read_command(run: Run) -> str:
    """The command that a run prints for its second node."""
    notes = wait_until(
        lambda: [event.text for event in run.read_events() if isinstance(event, Note) and "torchrun" in event.text],
        "no command was printed",
    )
    return str(notes[-1].partition(": ")[2])


@pytest.mark.long
def test_second_node_with_another_program_is_refused(small_workspace, tmp_path):
    run = make_train_run(small_workspace, "ResNet18_CFT", **SETTINGS, devices=1, nodes=2)
    process = find_executor(run).submit(run).process
    assert process is not None
    copy = tmp_path / "program"
    subprocess.run(["cp", "-r", PROJECT, copy], check=True)
    with open(copy / "tfm" / "training" / "augment.py", "a") as file:
        file.write("\n# another version\n")
    arguments = shlex.split(read_command(run))[1:]
    other = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert other.returncode
    assert process.wait(timeout=60) == 1
    assert "the program of process 2 of 2 is not that of the first" in run.read_status().message


@pytest.mark.long
def test_node_that_does_not_answer_is_reported_in_words(small_workspace, monkeypatch):
    monkeypatch.setenv("PET_RDZV_CONF", "timeout=5")  # seconds, read by torchrun; without it, 15 minutes
    run = make_train_run(small_workspace, "ResNet18_CFT", **SETTINGS, devices=1, nodes=2)
    assert worker.execute_run(run, stopping=run) == "halted"
    assert "did not find each other" in run.read_status().message
    assert "other nodes" in run.read_status().hint
