"""What a job of Slurm does: it runs a worker, and pauses it when Slurm is about to end the job."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tfm.core.errors import HaltedError
from tfm.core.runs import slurm_queue
from tfm.core.runs.executors.this_machine import start_worker
from tfm.core.runs.worker import STOPPED_EXIT_STATUS, open_job

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

SIGNAL_VARIABLE = "SUBMITIT_PREEMPT_SIGNAL"  # in the environment where a job is submitted, and in the job
STOP_SIGNAL = "USR1"


class SlurmJob:
    """Called by submitit on the node: once for each time the job leaves the queue."""

    def __init__(self, folder: str, step: str | None) -> None:
        self.folder = folder
        self.step = step

    def __call__(self) -> None:
        # Slurm sends the signal to all processes of the job, and the worker must not end by it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        self._worker = start_worker(open_job(Path(self.folder)), self.step)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        status = self._worker.wait()
        current = slurm_queue.find_current_job()
        if status == STOPPED_EXIT_STATUS and current and slurm_queue.look_up(current).state == "running":
            signal.raise_signal(signal.SIGUSR1)  # Slurm preempts the job: it enters the queue again
        self._check(status)

    def checkpoint(self) -> DelayedSubmission:
        """Pause the worker. Submitit calls this at the signal, and puts what it returns into the queue again."""
        from submitit.helpers import DelayedSubmission

        self._worker.terminate()
        try:  # not wait(): this interrupts the one in __call__
            status = os.waitid(os.P_PID, self._worker.pid, os.WEXITED | os.WNOWAIT).si_status  # type: ignore[union-attr]
        except ChildProcessError:
            status = self._worker.returncode
        if status != STOPPED_EXIT_STATUS:
            self._check(status)
            sys.exit()  # the run was done in time
        return DelayedSubmission(SlurmJob(self.folder, self.step))

    def _check(self, status: int) -> None:
        """Fail in Slurm too, so that it cancels the steps that need this one."""
        if status != 0:
            raise HaltedError(f"the worker ended with status {status}", hint=f"see {self.folder}")
