"""Jobs for worker processes, in a module that they import quickly."""

import os
import signal
import time


class Job:
    """Doubles a number, obeys a word."""

    def __call__(self, task: int | str) -> tuple[int, int | str]:
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "sleep":
            time.sleep(60)
        if task == "nap":
            time.sleep(0.3)
        return os.getpid(), task * 2 if isinstance(task, int) else task


class UnpicklableJob(Job):
    """Cannot be unpickled in a worker process."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("not a number",)
