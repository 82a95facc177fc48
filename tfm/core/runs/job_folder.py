"""The base of runs and plans: a folder with a status, a lock for its one worker, and pause requests."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tfm.core import files, hints
from tfm.core.errors import BusyError, RunError
from tfm.core.records import Seconds, TimeText, build_record
from tfm.core.runs import slurm_queue
from tfm.core.runs.slurm_queue import NOT_SUBMITTED, RUN, QueuedJob

State = Literal["waiting", "running", "paused", "halted", "failed", "pruned", "done", "damaged"]
ENDED: tuple[State, ...] = ("halted", "failed", "pruned", "done", "damaged")  # nothing but a new worker changes these

HEARTBEAT_SECONDS = 2.0
SILENT_AFTER_SECONDS = 15.0
_LOCK_WAIT_SECONDS = 2.0  # `is_alive` holds the lock for an instant, so a worker waits a little


@dataclass(frozen=True)
class Status:
    state: State = "waiting"
    created: TimeText = ""
    pid: int | None = None
    host: str = ""
    started: TimeText = ""
    ended: TimeText = ""
    seconds: Seconds = 0.0
    message: str = ""
    hint: str = ""
    key: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    part_of: str = ""  # the id of the run it belongs to, as a trial belongs to its study


class Job:
    """A job keeps nothing in memory: each call reads its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._status_file = folder / "status.json"
        self._pause_file = folder / "pause"
        self._heartbeat_file = folder / "heartbeat"
        self._dismissed_file = folder / "dismissed"
        self.log_file = folder / "log.txt"
        if not self._status_file.is_file():
            raise RunError(f"{folder} is not a run or plan", hint=f"see {hints.command('runs list')}")

    @property
    def id(self) -> str:
        return self.folder.name

    def read_status(self) -> Status:
        """The recorded status; "running" without a live worker becomes "halted". Never raises: one damaged job must not
        hide the others."""
        try:
            return self.find_current_status(self.read_recorded_status())
        except RunError as error:
            return Status(state="damaged", message=error.message, hint=error.hint)

    def find_current_status(self, recorded: Status) -> Status:
        """The status now, from what a worker recorded last and whether it lives."""
        if recorded.state in ENDED:
            return recorded
        queued = slurm_queue.look_up_placement(self.folder)
        if queued is not None:
            return self._combine(recorded, queued)
        if recorded.state == "running" and not self._is_locked():
            recorded = self.read_recorded_status()  # the worker may have ended in between
            return replace(recorded, state="halted") if recorded.state == "running" else recorded
        return recorded

    def _combine(self, recorded: Status, queued: Mapping[str, QueuedJob]) -> Status:
        """The state of a job that Slurm works on, from what its worker recorded and what Slurm says."""
        job = queued.get(RUN, NOT_SUBMITTED)
        if job.is_alive:
            state: State = "waiting" if job.state == "waiting" else "running"
            return replace(recorded, state=state, message=job.words, hint="")
        if job.state == "unknown":
            return replace(recorded, message=job.words)
        recorded = self.read_recorded_status()  # the worker may have ended in between
        if recorded.state not in ("waiting", "running"):
            return recorded
        if self._is_locked():
            words = f"running on {recorded.host} without its job in Slurm"
            return replace(recorded, state="running", message=words, hint="")
        return replace(recorded, state="halted", message=job.words, hint=self._name_log(RUN))

    def _name_log(self, step: str) -> str:
        """Where to read why a job of Slurm ended. A worker that could not start has written no log."""
        file = slurm_queue.find_error_file(self.folder, step) or self.log_file
        return f"see {file if file.exists() else self.folder / 'slurm'}"

    def read_recorded_status(self) -> Status:
        """The status as a worker wrote it last, whether or not the worker lives."""
        try:
            return build_record(Status, files.read_json(self._status_file))
        except (OSError, ValueError):
            raise RunError(
                f"{self._status_file} is damaged or missing",
                hint=f"restore the file, or remove the run: {hints.command('runs remove', self.id)}",
            ) from None

    def update(self, **changes: Any) -> None:
        files.write_json(self._status_file, asdict(replace(self.read_recorded_status(), **changes)))

    def is_alive(self) -> bool:
        """Whether a worker holds the lock, or Slurm runs the job or will."""
        if slurm_queue.read_placement(self.folder) is None:
            return self._is_locked()
        return self.read_status().state in ("waiting", "running")

    def _is_locked(self) -> bool:
        """The operating system frees the lock when the worker dies."""
        try:
            with FileLock(self.folder / "lock", timeout=0.02, poll_interval=0.01):
                return False
        except Timeout:
            return True

    def read_seconds_spent(self) -> float:
        """The time of all workers so far; a killed one counts up to its last heartbeat."""
        try:
            recorded = self.read_recorded_status()
        except RunError:
            return 0.0
        return recorded.seconds + (self._read_seconds_of_worker() if recorded.state == "running" else 0.0)

    def _read_seconds_of_worker(self) -> float:
        """How long the last worker has worked: as it counted at its last heartbeat, and since then until the next was
        due. A clock that was set meanwhile changes no more than that."""
        try:
            counted = max(0.0, build_record(Seconds, files.read_text(self._heartbeat_file)))
            since = time.time() - self._heartbeat_file.stat().st_mtime
        except (OSError, ValueError):
            return 0.0
        return counted + min(max(0.0, since), HEARTBEAT_SECONDS)

    def read_silent_since(self) -> datetime | None:
        """The time of the last heartbeat, if the next one is overdue."""
        try:
            last = self._heartbeat_file.stat().st_mtime
        except FileNotFoundError:
            return None
        return datetime.fromtimestamp(last) if time.time() - last >= SILENT_AFTER_SECONDS else None

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Become the job's only worker, with a heartbeat. Raises BusyError if it has another worker."""
        try:
            lock = FileLock(self.folder / "lock", timeout=_LOCK_WAIT_SECONDS, poll_interval=0.02)
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"{self.id} is already running", hint=f"watch it: {hints.command('runs watch', self.id)}"
            ) from None
        for folder in (self.folder, *filter(Path.is_dir, self.folder.iterdir())):
            files.remove_leftovers(folder)
        stop = threading.Event()
        heart = threading.Thread(target=self._send_heartbeats, args=(stop,), daemon=True)
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()
            lock.release()

    def _send_heartbeats(self, stop: threading.Event) -> None:
        began = time.monotonic()  # the time of day can be set while the worker works
        while True:
            with contextlib.suppress(OSError):  # a failed heartbeat on a full disk must not end the run
                self._heartbeat_file.touch()
                with open(self._heartbeat_file, "r+", encoding="utf-8") as file:
                    file.write(f"{time.monotonic() - began:16.1f}")  # always as long: a kill never leaves a part
            if stop.wait(HEARTBEAT_SECONDS):
                return

    def request_pause(self) -> None:
        self._pause_file.touch()

    def withdraw_pause(self) -> None:
        self._pause_file.unlink(missing_ok=True)

    def dismiss(self) -> None:
        """Stop showing a failure first: a person has seen it. A later failure is shown again, whatever the clock says.

        The mark has the time of the failure that it belongs to.
        """
        failed = self._status_file.stat()
        self._dismissed_file.touch()
        os.utime(self._dismissed_file, ns=(failed.st_atime_ns, failed.st_mtime_ns))

    def is_dismissed(self) -> bool:
        try:
            return self._dismissed_file.stat().st_mtime_ns == self._status_file.stat().st_mtime_ns
        except FileNotFoundError:
            return False

    def is_pause_requested(self) -> bool:
        return self._pause_file.exists()


def format_now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def make_folder_name(name: str) -> str:
    return f"{datetime.now():%Y-%m-%d}_{name}_{os.urandom(3).hex()}"


def create_job_folder(parent: Path, name: str, documents: dict[str, str], key: str, part_of: str = "") -> Path:
    """Create a job's folder with its documents and a status: as a whole, or not at all."""
    files.make_private_folder(parent)
    final = parent / make_folder_name(name)
    temporary = parent / f".{final.name}.tmp"
    temporary.mkdir()
    for file, text in documents.items():
        files.write_text(temporary / file, text)
    status = Status(created=datetime.now(UTC).isoformat(), key=key, part_of=part_of)
    files.write_json(temporary / "status.json", asdict(status))
    temporary.rename(final)
    files.sync_folder(parent)
    return final
