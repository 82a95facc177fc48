"""Where Slurm works on a run or plan, and what it says about it: one reading of its queue serves all jobs.

The file slurm.json of a run or plan names the cluster and the Slurm job of each step. Submitting is in `executors`.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tfm.core import files
from tfm.core.records import build_record

CLUSTER_VARIABLE = "TFM_CLUSTER"  # in the environment of our jobs: the cluster's name
RUN = "run"  # the only step of a run
TIMEOUT_SECONDS = 5.0
_FRESH_SECONDS = 2.0
_SILENT_SECONDS = 15.0  # until Slurm is asked again after it did not answer

_ENDS = {
    "CANCELLED": "cancelled in Slurm",
    "TIMEOUT": "stopped by Slurm at its time limit",
    "DEADLINE": "stopped by Slurm at its deadline",
    "OUT_OF_MEMORY": "stopped by Slurm: it needed more memory than it had asked for",
    "NODE_FAIL": "the node that it ran on failed",
    "BOOT_FAIL": "its node could not be started",
    "PREEMPTED": "stopped by Slurm for a job of higher priority",
}
_REASONS = {
    "None": "waiting in the queue",
    "Resources": "waiting for resources",
    "Priority": "waiting for its turn",
    "Dependency": "waiting for other steps",
    "BeginTime": "waiting to be started again",
    "PartitionTimeLimit": "cannot start: it asks for more time than the partition allows",
    "PartitionNodeLimit": "cannot start: it asks for more nodes than the partition allows",
    "PartitionDown": "cannot start: its partition is closed",
    "BadConstraints": "cannot start: no node has what it asks for",
    "JobHeldUser": "held: release it with scontrol",
    "JobHeldAdmin": "held by an administrator",
}


@dataclass(frozen=True)
class QueuedJob:
    state: Literal["waiting", "running", "ending", "ended", "unknown"]
    words: str

    @property
    def is_alive(self) -> bool:
        return self.state in ("waiting", "running", "ending")


NOT_SUBMITTED = QueuedJob("ended", "it was not submitted to Slurm")


JobNumber = Annotated[str, Field(pattern=r"^[0-9]{1,20}(_[0-9]{1,20})?$")]  # it becomes a part of a file's name


@dataclass(frozen=True)
class Placement:
    """The Slurm job of each step, by its name. A step without one was done before, or could not be submitted."""

    cluster: str
    jobs: Annotated[dict[str, JobNumber | None], Field(min_length=1)]

    def look_up_jobs(self, written: float = 0.0) -> dict[str, QueuedJob]:
        """What Slurm says about each job, from a reading that was made after the time `written`."""
        return {step: look_up(number, written) if number else NOT_SUBMITTED for step, number in self.jobs.items()}


# --- the record in the folder -----------------------------------------------------------------------------------------


def read_placement(folder: Path) -> Placement | None:
    """Where Slurm works on a job; None if it works on this machine or in the Slurm job of this process."""
    try:
        placement = build_record(Placement, files.read_json(folder / "slurm.json"))
    except (OSError, ValueError):
        return None
    current = find_current_job()
    return None if current and current in placement.jobs.values() else placement


def look_up_placement(folder: Path) -> dict[str, QueuedJob] | None:
    placement = read_placement(folder)
    return placement.look_up_jobs((folder / "slurm.json").stat().st_mtime) if placement else None


def write_placement(folder: Path, placement: Placement) -> None:
    files.write_json(folder / "slurm.json", asdict(placement))


def find_error_file(folder: Path, step: str) -> Path | None:
    """What a step's job printed before it ended, if it printed anything. Submitit names the file."""
    placement = read_placement(folder)
    file = folder / "slurm" / f"{placement and placement.jobs.get(step)}_0_log.err"
    return file if file.exists() and file.stat().st_size else None


def record_current_place(folder: Path) -> None:
    """Record that this process works on the job: in its Slurm job, or on this machine."""
    current = find_current_job()
    if current:
        write_placement(folder, Placement(os.environ[CLUSTER_VARIABLE], {RUN: current}))
    else:
        (folder / "slurm.json").unlink(missing_ok=True)


def find_current_job() -> str | None:
    """The Slurm job of this process, if we submitted it."""
    if CLUSTER_VARIABLE not in os.environ:
        return None
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")


# --- the queue --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    jobs: dict[str, QueuedJob] | None = None  # None: Slurm did not answer
    time: float = float("-inf")

    def is_fresh(self) -> bool:
        age = time.time() - self.time  # negative after the clock was set back
        return 0 <= age < (_SILENT_SECONDS if self.jobs is None else _FRESH_SECONDS)


_last = _Reading()


def forget_reading() -> None:
    """After a job was submitted or cancelled."""
    global _last
    _last = _Reading()


def look_up(number: str, written: float = 0.0) -> QueuedJob:
    """What Slurm says about a job, from a reading that was made after the time `written`."""
    global _last
    is_missing = _last.jobs is not None and number not in _last.jobs and _last.time < written
    if is_missing or not _last.is_fresh():
        _last = _Reading(_ask_slurm(), time.time())
    if _last.jobs is None:
        return QueuedJob("unknown", "Slurm does not answer")
    return _last.jobs.get(number, QueuedJob("ended", "its job in Slurm ended"))


def does_answer() -> bool:
    return look_up("").state != "unknown"


def _ask_slurm() -> dict[str, QueuedJob] | None:
    command = ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i|%T|%N|%r"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split("|", 3) for line in answer.stdout.splitlines())
    return {number: _describe(state, nodes, reason) for number, state, nodes, reason in rows}


def _describe(state: str, nodes: str, reason: str) -> QueuedJob:
    if state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"):
        return QueuedJob("waiting", _REASONS.get(reason, f"waiting in the queue ({reason})"))
    if state in ("COMPLETED", "FAILED", *_ENDS):
        return QueuedJob("ended", _ENDS.get(state, "its job in Slurm ended"))
    return QueuedJob("ending" if state == "COMPLETING" else "running", f"running on {nodes}")
