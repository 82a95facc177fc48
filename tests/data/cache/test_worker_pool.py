"""Workers run every task, a task that kills its worker is named, and no worker outlives its parent."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.cache.jobs import Job, UnpicklableJob
from tfm.core.errors import TFMError
from tfm.data.cache.worker_pool import WorkerDied, run_in_workers

PROJECT = Path(__file__).resolve().parents[3]
PARENT = """
from tests.data.cache.jobs import Job
from tfm.data.cache.worker_pool import run_in_workers
import sys
if __name__ == "__main__":
    results = run_in_workers(Job(), [1, 2, 3, 4] + ["TASK"] * 8, 2)
    pids = {next(results)[1][0] for _ in range(4)}
    print(*pids, flush=True)
    SUITE
"""


@contextlib.contextmanager
def start_parent(task: str, then: str) -> "Iterator[tuple[subprocess.Popen[str], list[int]]]":
    """A program, and the process ids of its workers."""
    command = [sys.executable, "-c", PARENT.replace("TASK", task).replace("SUITE", then)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        try:
            yield parent, [int(pid) for pid in parent.stdout.readline().split()]
        finally:
            parent.kill()


def processes_of(session: int) -> list[int]:
    """The living processes of a session, without zombies; needs /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends_within(seconds: float, is_still_alive) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_still_alive():
            return True
        time.sleep(0.02)
    return False


def test_one_worker_is_this_process():
    assert list(run_in_workers(Job(), [1, 2, 3], 1)) == [(task, (os.getpid(), task * 2)) for task in (1, 2, 3)]
    assert multiprocessing.active_children() == []


def test_several_workers_are_other_processes_and_no_more_than_the_tasks():
    results = run_in_workers(Job(), [4], 2)
    assert next(results)[1][0] == multiprocessing.active_children()[0].pid != os.getpid()
    assert len(multiprocessing.active_children()) == 1
    results.close()
    assert list(run_in_workers(Job(), [], 2)) == []


def test_every_task_is_done_although_one_kills_its_worker_and_signals_arrive():
    """The workers get the pause signals of their parent from their first instant on."""
    over = threading.Event()

    def send_signals() -> None:
        while not over.wait(0.002):
            for child in multiprocessing.active_children():
                for number in (signal.SIGINT, signal.SIGTERM):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, number)

    sender = threading.Thread(target=send_signals)
    sender.start()
    try:
        tasks = [*range(6), "die", *range(6, 20)]
        answers = dict(run_in_workers(Job(), tasks, 2))
    finally:
        over.set()
        sender.join()
    assert answers.pop("die") == WorkerDied()
    assert {task: answer[1] for task, answer in answers.items()} == {task: task * 2 for task in range(20)}
    assert os.getpid() not in {answer[0] for answer in answers.values()}
    assert multiprocessing.active_children() == []


def test_closing_ends_the_workers_at_once():
    results = run_in_workers(Job(), [1, *["sleep"] * 3], 2)
    next(results)
    pids = [child.pid for child in multiprocessing.active_children()]
    assert len(pids) == 2
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 1
    assert not any(map(is_alive, pids))


def test_a_worker_that_cannot_start_is_reported_and_not_blamed_on_a_task(capfd):
    with pytest.raises(TFMError, match="could not start") as error:
        list(run_in_workers(UnpicklableJob(), [1, 2], 2))
    assert "workers=1" in error.value.hint
    assert "not a number" in capfd.readouterr().err, "a run's log says why"
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see whole sessions")
def test_no_worker_outlives_a_killed_parent():
    with start_parent("sleep", "next(results)") as (parent, pids):
        assert set(pids) <= set(processes_of(parent.pid)) - {parent.pid}
        parent.kill()
        assert ends_within(2, lambda: processes_of(parent.pid))


def test_workers_end_with_a_parent_that_fails():
    """The parent leaves the generator open, so it ends once the tasks that it had submitted are done."""
    with start_parent("nap", "sys.stderr = None; raise ValueError") as (parent, pids):
        assert parent.wait(timeout=5) == 1
        assert ends_within(2, lambda: any(map(is_alive, pids)))


def test_a_worker_imports_neither_pandas_nor_torch():
    script = (
        "import tfm.data.cache.row_maker, tfm.data.cache.worker_pool, sys; "
        "print([n for n in ('pandas', 'torch') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
