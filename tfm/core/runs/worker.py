"""Work on a run or a plan in a process of its own: `python -m tfm.core.runs.worker FOLDER`. It draws and asks nothing.

Every event of a stage is a point at which it may be stopped for good: pausing is not asking for the next one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfm.core.errors import BusyError, TFMError, translate_error
from tfm.core.runs import launch
from tfm.core.runs.executor import build_end_changes, build_start_changes, execute
from tfm.core.runs.job import Job, State
from tfm.core.runs.plan import Plan, Step, check_steps
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets

PAUSED_EXIT_STATUS = 130
_EXIT_STATUS: dict[State, int] = {"done": 0, "failed": 1, "halted": 1, "paused": PAUSED_EXIT_STATUS}

_stop_asked = False  # set by SIGTERM: the same wish as a pause file, from the operating system


# --- starting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartedJob:
    """A job and, where this process started it, its worker; without one we watch somebody else's."""

    job: Job
    process: subprocess.Popen[bytes] | None

    def is_running(self) -> bool:
        return (self.process is not None and self.process.poll() is None) or self.job.is_alive()


def start_worker(job: Job) -> StartedJob:
    """Start a worker for a job, or attach to the one it has. The worker outlives this process."""
    if job.is_alive():
        return StartedJob(job, None)
    job.withdraw_pause()
    with open(job.log_file, "ab") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "tfm.core.runs.worker",
                str(job.folder),
            ],  # -P: never a tfm of the folder one stands in
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": build_python_path()},
            start_new_session=True,
        )
    return StartedJob(job, process)


def build_python_path() -> str:
    """Absolute folders only: a relative one would let modules in the working folder shadow installed ones."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(presets.PROJECT), *filter(os.path.isabs, paths)])


def kill_worker(job: Job) -> None:
    """Kill the worker, and whatever it started, without asking it. What it had written whole stays."""
    pid = job.read_status().pid
    if pid is not None and job.is_alive() and job.read_status().host == socket.gethostname():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL) if hasattr(os, "killpg") else os.kill(pid, signal.SIGTERM)
        while job.is_alive():
            time.sleep(0.02)


# --- working ----------------------------------------------------------------------------------------------------------


def execute_run(run: Run, stopping: Job) -> State:
    """Ask the run's stage for event after event until it is done, fails, or `stopping` (the run or its plan) is to
    pause."""
    with contextlib.closing(execute(run)) as events:  # type: ignore[type-var]
        for _ in events:
            if _stop_asked or stopping.is_pause_requested() or run.is_pause_requested():
                break
    return run.read_status().state


def execute_plan(plan: Plan) -> State:
    """Each step becomes a run: found done and kept, found halted and resumed, or made anew. A step that fails stops
    only the steps that read from it."""
    begun = time.monotonic()
    spent = plan.read_seconds_spent()
    with plan.hold_lock():
        plan.update(**build_start_changes(spent))
        state, message, hint, result = _take_steps(plan)
        plan.update(**build_end_changes(state, message, hint, spent + time.monotonic() - begun), result=result)
        plan.withdraw_pause()
    return state


def _take_steps(plan: Plan) -> tuple[State, str, str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    failures: list[tuple[str, str]] = []
    try:
        steps = plan.read_steps()
        check_steps(steps)  # waiting steps may have been edited
    except TFMError as error:
        return "failed", error.message, error.hint, {}
    for step in steps:
        if step.needs() - results.keys():
            continue  # it reads from a step that failed
        state, message, hint = _take_step(plan, step, results)
        if state in ("paused", "halted"):
            return state, message, hint, {}
        if state == "failed":
            failures.append((f"{step.name}: {message}", hint))
    if failures:
        return "failed", "; ".join(message for message, _ in failures), failures[0][1], {}
    return "done", "", "", results[steps[-1].name]


def _take_step(plan: Plan, step: Step, results: dict[str, dict[str, Any]]) -> tuple[State, str, str]:
    try:
        run = launch.find_or_create_step_run(plan, step, results)
        plan.update(runs=plan.read_status().runs | {step.name: run.id})
        while run.is_alive():  # somebody started it by itself: its result serves this plan as well
            if _stop_asked or plan.is_pause_requested():
                return "paused", "", ""
            time.sleep(0.2)
        state = run.read_status().state
        if state != "done":
            run.withdraw_pause()  # one that an earlier worker never saw
            state = execute_run(run, stopping=plan)
        if state == "done":
            results[step.name] = run.read_status().result
        return state, run.read_status().message, run.read_status().hint
    except Exception as error:
        trouble = translate_error(error, plan.log_file)
        return "failed", trouble.message, trouble.hint


# --- the process ------------------------------------------------------------------------------------------------------


def open_job(folder: Path) -> Run | Plan:
    workspace = Workspace(folder.parent.parent)
    return Plan(folder, workspace) if folder.parent == workspace.plans_folder else Run(folder, workspace)


def _ask_to_stop(_signal: int, _frame: Any) -> None:
    global _stop_asked
    _stop_asked = True


def main() -> int:
    signal.signal(signal.SIGTERM, _ask_to_stop)
    signal.signal(signal.SIGINT, _ask_to_stop)
    job = open_job(Path(sys.argv[1]).resolve())
    try:
        state = execute_plan(job) if isinstance(job, Plan) else execute_run(job, stopping=job)
    except BusyError:
        return 0  # another worker has it: who started this one attaches to that
    return _EXIT_STATUS[state]


if __name__ == "__main__":
    sys.exit(main())
