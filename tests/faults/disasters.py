"""What may happen to a job, from the killed process to the lost power, and what a person does about it.

A disaster strikes inside the worker process, at an exact moment of its work.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.faults.clock import set_clock
from tests.faults.disks import PowerlessDisk, cut_power, fill, mount_small_disk
from tests.faults.worker_process import ACCESSES, Strike, WorkerProcess
from tfm.core.runs import job_folder, worker
from tfm.core.runs.lookup import find_run, read_runs
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.run_progress import read_progress
from tfm.core.runs.workspace import Workspace
from tfm.ui.run_state import RunView

DEFECT = "bug in the program"
DAY = 86400
TEN_YEARS = 10 * 366 * DAY
MOST_SECONDS_LEFT = 3600  # of a job of seconds


@dataclass
class Trial:
    """A job in a workspace of its own."""

    root: Path  # of the workspace
    job: Run | Plan
    random: Random
    began: float = field(default_factory=time.monotonic)

    def list_folders(self) -> list[Path]:
        return [self.root, *(path for path in self.root.rglob("*") if path.is_dir())]

    def assert_explained(self) -> None:
        """A job that has not ended says why, and does not blame the program."""
        status = self.job.read_status()
        assert DEFECT not in status.hint, status
        assert status.state in ("halted", "paused", "done") or (status.message and status.hint), status

    def assert_times_are_possible(self) -> None:
        """No run worked for longer than the trial lasts, and none says that it still takes less than no time."""
        parts = [find_run(self.job.workspace, run) for run in self.job.read_status().runs.values()]
        for job in (self.job, *parts):
            assert 0 <= job.read_seconds_spent() <= time.monotonic() - self.began, job.read_recorded_status()
        for run in (job for job in (self.job, *parts) if isinstance(job, Run)):
            view, count = RunView(run), read_progress(run)
            view.read_new_events()
            for left in (view.seconds_left, count.seconds_left if count else None):
                assert left is None or 0 <= left < MOST_SECONDS_LEFT, f"{run.id}: {left} s left"


class Disaster:
    """Another kind of disaster says what strikes, and what is done afterwards."""

    strikes_after_the_end = False

    @contextmanager
    def open_disk(self, folder: Path) -> Iterator[Path]:
        folder.mkdir()
        yield folder

    def settle(self, root: Path) -> None:
        """Do what must be done when the workspace is in its place, before the job begins."""

    def prepare(self, trial: Trial) -> Strike:
        raise NotImplementedError

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        """Wait for the consequences, and repair them as a person would."""
        assert process.wait() == -signal.SIGKILL


class Killed(Disaster):
    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(kill, trial.random.choice((os.kill, os.killpg)))

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        super().wait(trial, process)
        assert trial.job.read_status().state in ("halted", "waiting", "done")


class Terminated(Disaster):
    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(signal.raise_signal, signal.SIGTERM)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        status = process.wait()
        assert (trial.job.read_status().state, status) in (("paused", worker.STOPPED_EXIT_STATUS), ("done", 0))


class Suspended(Disaster):
    """It is stopped for longer than a worker may be silent, while a second worker is started."""

    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(kill, os.kill, signal.SIGSTOP)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(job_folder, "SILENT_AFTER_SECONDS", 3.0)
            process.wait_until(lambda: process.is_struck and trial.job.read_silent_since())
        before = trial.job.read_status()
        second = WorkerProcess(trial.job)
        assert second.wait() == 0
        assert second.accesses == 0, "two workers at once"
        assert trial.job.read_status() == before
        os.kill(process.process.pid or 0, signal.SIGCONT)
        assert process.wait() == 0


class FullDisk(Disaster):
    """It is full at once, or when a few files more are written."""

    @contextmanager
    def open_disk(self, folder: Path) -> Iterator[Path]:
        with mount_small_disk(folder, "150m") as disk:
            yield disk

    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(fill, trial.root.parent, free=trial.random.choice((0, 20_000, 200_000)))

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        process.wait()
        trial.assert_explained()
        (trial.root.parent / "filler").unlink()


class ReadOnly(Disaster):
    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(forbid_writing, trial.root)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        process.wait()
        for folder in trial.list_folders():
            folder.chmod(0o755)
        trial.assert_explained()


class ClockJumped(Disaster):
    """By ten years, to the past or to the future."""

    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(set_clock, trial.random.choice((-1, 1)) * TEN_YEARS)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        assert process.wait() == 0


class ClockJumpedBeforeKill(Killed):
    """The clock jumps by a day, and then it is killed. It resumes when the clock is right again."""

    def prepare(self, trial: Trial) -> Strike:
        days, accesses = trial.random.choice((-1, 1)), trial.random.randint(1, 20)
        return functools.partial(set_clock_and_die, days * DAY, accesses)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        assert process.wait() in (-signal.SIGKILL, 0)


class Moved(Killed):
    """It is killed, and the workspace gets another place."""

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        super().wait(trial, process)
        trial.root = trial.root.rename(trial.root.with_name("another"))


class Flipped(Killed):
    """It is killed, and one bit of a file that it wrote and will read again is another one."""

    def prepare(self, trial: Trial) -> Strike:
        self._before = set(trial.root.rglob("*"))
        return super().prepare(trial)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        super().wait(trial, process)
        written = set(trial.root.rglob("*")) - self._before - list_unread_files(trial.root)
        large = [path for path in sorted(written) if path.suffix in (".pt", ".row", ".npy", ".skops", ".safetensors")]
        if large:
            flip_bit(trial.random.choice(large), trial.random)


class PowerLost(Disaster):
    strikes_after_the_end = True

    @contextmanager
    def open_disk(self, folder: Path) -> Iterator[Path]:
        self._disk = PowerlessDisk(folder)
        self._seconds = 300 if folder.name.endswith("0") else 1
        self._disk.mount(self._seconds)
        try:
            yield self._disk.folder
        finally:
            self._disk.remove()

    def settle(self, root: Path) -> None:
        os.sync()

    def prepare(self, trial: Trial) -> Strike:
        return functools.partial(lose_power, self._disk.folder, self._seconds)

    def wait(self, trial: Trial, process: WorkerProcess) -> None:
        super().wait(trial, process)
        self._disk.restore_power()


DISASTERS: dict[str, type[Disaster]] = {
    "killed": Killed,
    "terminated": Terminated,
    "suspended": Suspended,
    "full disk": FullDisk,
    "read-only": ReadOnly,
    "clock jumped": ClockJumped,
    "clock jumped before a kill": ClockJumpedBeforeKill,
    "moved": Moved,
    "flipped": Flipped,
    "power lost": PowerLost,
}


# --- in the worker process --------------------------------------------------------------------------------------------


def kill(how: Callable[[int, int], None], number: int = signal.SIGKILL) -> None:
    how(os.getpid(), number)


def lose_power(disk: Path, journal_seconds: int) -> None:
    if journal_seconds < 2:
        time.sleep(journal_seconds + 0.2)  # until the journal is written
    cut_power(disk)
    os.killpg(os.getpid(), signal.SIGKILL)


def set_clock_and_die(seconds: int, accesses: int) -> None:
    """Die a few more accesses later: with files, and maybe with a whole step, of the other day."""
    left = itertools.count(accesses, -1)
    set_clock(seconds)
    sys.addaudithook(lambda event, _: kill(os.kill) if event in ACCESSES and not next(left) else None)


def forbid_writing(root: Path) -> None:
    """Take from this process what root may do everywhere, then from everybody what the owner may do here."""
    version = struct.pack("Ii", 0x20080522, 0)
    ctypes.CDLL(None, use_errno=True).capset(version, bytes(24))
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)


# --- around it --------------------------------------------------------------------------------------------------------


def list_unread_files(root: Path) -> set[Path]:
    """The files of done runs that nothing reads again. A plan reads the outputs of its steps, a study no trial's."""
    done = [(run, status) for run, status in read_runs(Workspace(root)) if status.state == "done"]
    outputs = {root / output["path"] for _, status in done if not status.part_of for output in status.outputs}
    return {path for run, _ in done for path in run.folder.rglob("*")} - outputs


def flip_bit(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)
        shutil.copystat(path, path)
