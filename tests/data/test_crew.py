"""Workers do what they are given, name what killed them, and never outlive who hired them."""

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

from tests.data.labour import Labour, Unfit
from tfm.core.errors import TFMError
from tfm.data.cache.worker_pool import Died, share_out

PROJECT = Path(__file__).resolve().parents[2]
HIRING = """
from tests.data.labour import Labour
from tfm.data.cache.worker_pool import share_out
import sys
if __name__ == "__main__":
    made = share_out(Labour(), [1, 2, 3, 4] + ["sleep"] * 8, 2)
    pids = {next(made)[1][0] for _ in range(4)}
    print(*pids, flush=True)
    SUITE
"""


@contextlib.contextmanager
def hiring(what_then: str) -> "Iterator[tuple[subprocess.Popen[str], list[int]]]":
    """A program, and the workers that it hired."""
    command = [sys.executable, "-c", HIRING.replace("SUITE", what_then)]
    hirer = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert hirer.stdout is not None
    try:
        yield hirer, [int(pid) for pid in hirer.stdout.readline().split()]
    finally:
        hirer.kill()
        hirer.wait()


def members(session: int) -> list[int]:
    """The processes of a session that are there and no zombies; needs /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(path.parent.name))
    return found


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone_within(seconds: float, still_there) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not still_there():
            return True
        time.sleep(0.02)
    return False


def test_one_worker_is_this_very_process():
    assert list(share_out(Labour(), [1, 2, 3], 1)) == [(task, (os.getpid(), task * 2)) for task in (1, 2, 3)]
    assert multiprocessing.active_children() == []


def test_of_several_workers_no_more_are_hired_than_there_are_tasks_and_none_is_this_process():
    made = share_out(Labour(), [4], 2)
    assert next(made)[1][0] == multiprocessing.active_children()[0].pid != os.getpid()
    assert len(multiprocessing.active_children()) == 1
    made.close()
    assert list(share_out(Labour(), [], 2)) == []


def test_all_is_done_though_one_dies_and_pauses_are_none_of_their_business():
    """From their first instant on they are sent what means "pause" to their hirer."""
    over = threading.Event()

    def ask_to_pause() -> None:
        while not over.wait(0.002):
            for child in multiprocessing.active_children():
                for number in (signal.SIGINT, signal.SIGTERM):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, number)

    asking = threading.Thread(target=ask_to_pause)
    asking.start()
    try:
        tasks = [*range(6), "die", *range(6, 20)]
        answers = dict(share_out(Labour(), tasks, 2))
    finally:
        over.set()
        asking.join()
    death = answers.pop("die")
    assert isinstance(death, Died)
    assert "Killed" in death.how
    assert {task: answer[1] for task, answer in answers.items()} == {task: task * 2 for task in range(20)}
    assert os.getpid() not in {answer[0] for answer in answers.values()}
    assert multiprocessing.active_children() == []


def test_closing_ends_the_workers_in_the_midst_of_their_work():
    made = share_out(Labour(), [1, *["sleep"] * 3], 2)
    next(made)
    pids = [child.pid for child in multiprocessing.active_children()]
    assert len(pids) == 2
    begun = time.monotonic()
    made.close()
    assert time.monotonic() - begun < 1
    assert not any(map(is_there, pids))


def test_a_worker_that_cannot_start_is_told_and_not_blamed_on_a_task(capfd):
    with pytest.raises(TFMError, match="could not start") as told:
        list(share_out(Unfit(), [1, 2], 2))
    assert "--workers 1" in told.value.hint
    assert "not a number" in capfd.readouterr().err, "a run's log says why"
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see whole sessions")
def test_when_the_hirer_is_killed_nobody_is_left():
    with hiring("next(made)") as (hirer, pids):
        assert set(pids) <= set(members(hirer.pid)) - {hirer.pid}
        hirer.kill()
        assert gone_within(2, lambda: members(hirer.pid))


def test_a_hirer_that_fails_without_a_word_ends_and_so_do_they():
    with hiring("sys.stderr = None; raise ValueError") as (hirer, pids):
        assert hirer.wait(timeout=5) == 1
        assert gone_within(2, lambda: any(map(is_there, pids)))


def test_what_a_worker_imports_is_light():
    script = (
        "import tfm.data.cache.row_maker, tfm.data.cache.worker_pool, sys; "
        "print([n for n in ('pandas', 'torch') if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
