"""Jobs for worker processes, in a module that they import quickly."""

import os
import signal
import time


class Labour:
    """A number is doubled, a word obeyed."""

    def __call__(self, task: int | str) -> tuple[int, int | str]:
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "sleep":
            time.sleep(60)
        return os.getpid(), task * 2 if isinstance(task, int) else task


class Unfit(Labour):
    """Cannot even arrive where it should work."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("not a number",)
