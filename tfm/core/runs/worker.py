"""The worker process of a run, a plan or one step of a plan: `python -m tfm.core.runs.worker FOLDER [STEP]`. It shows
nothing and asks nothing.

A pipeline can be stopped at every event: a pause does not request the next one.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfm.core.errors import BusyError, TFMError, translate_error
from tfm.core.runs import edit_queue, find_or_create, slurm_queue
from tfm.core.runs.execute_run import build_end_changes, build_start_changes, execute
from tfm.core.runs.job_folder import Job, State
from tfm.core.runs.plan import Plan, Step, check_steps
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

PAUSED_EXIT_STATUS = 130
STOPPED_EXIT_STATUS = 143  # paused by a signal: nobody asked for a pause
_EXIT_STATUS: dict[State, int] = {"done": 0, "failed": 1, "halted": 1, "paused": PAUSED_EXIT_STATUS}

_stop_requested = False  # by a signal


# --- execute ----------------------------------------------------------------------------------------------------------


def execute_run(run: Run, stopping: Job) -> State:
    """Execute a run until it ends, or until a pause of the run or of `stopping` (the run or its plan) is requested."""
    with contextlib.closing(execute(run)) as events:  # type: ignore[type-var]
        for _ in events:
            if _stop_requested or stopping.is_pause_requested() or run.is_pause_requested():
                break
    return run.read_status().state


def execute_plan(plan: Plan) -> State:
    """Execute the steps of a plan: a step that is done is reused, and an unfinished one is resumed. A step that fails
    only stops the steps that need it. A step that waits can be moved, skipped or removed meanwhile."""
    began = time.monotonic()
    spent = plan.read_seconds_spent()
    with plan.hold_lock():
        slurm_queue.record_current_place(plan.folder)
        plan.update(**build_start_changes(spent))
        state, message, hint, result = _execute_steps(plan)
        plan.update(**build_end_changes(state, message, hint, spent + time.monotonic() - began), result=result)
        plan.withdraw_pause()
    return state


def _execute_steps(plan: Plan) -> tuple[State, str, str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    failures: list[tuple[str, str]] = []
    tried: set[str] = set()
    while True:
        try:
            step = _take_next_step(plan, tried, results)
        except TFMError as error:
            return "failed", error.message, error.hint, {}
        if step is None:
            break
        tried.add(step.name)
        state, message, hint = _execute_step(plan, step, results)
        if plan.is_skipped(step.name):
            continue
        if state in ("paused", "halted"):
            return state, message, hint, {}
        if state == "failed":
            failures.append((f"{step.name}: {message}", hint))
    if failures:
        return "failed", "; ".join(message for message, _ in failures), failures[0][1], {}
    return "done", "", "", list(results.values())[-1] if results else {}


def _take_next_step(plan: Plan, tried: set[str], results: Mapping[str, Any]) -> Step | None:
    """The next step that can start: a person may have edited the steps since the last one began."""
    with plan.lock_steps():
        skipped = plan.read_skipped_steps()
        steps = edit_queue.leave_out_of_comparisons(plan.read_steps(), skipped)
        check_steps(steps)
        for step in steps:
            is_left = step.name not in tried and step.name not in skipped
            if is_left and step.find_needed_steps() <= results.keys():  # otherwise a step that it needs has failed
                plan.take_step(step.name)
                return step
    return None


def _execute_step(plan: Plan, step: Step, results: dict[str, dict[str, Any]]) -> tuple[State, str, str]:
    try:
        run = find_or_create.find_or_create_step_run(plan, step, results)
        plan.record_step(step.name, run.id)
        while run.is_alive():  # by another worker, whose result this plan can use
            if _stop_requested or plan.is_pause_requested() or plan.is_skipped(step.name):
                return "paused", "", ""
            time.sleep(0.2)
        state = run.read_status().state
        if state != "done":
            run.withdraw_pause()  # a request that an earlier worker did not see
            state = execute_run(run, stopping=plan)
        if state == "done":
            results[step.name] = run.read_status().result
        return state, run.read_status().message, run.read_status().hint
    except Exception as error:
        problem = translate_error(error, plan.log_file)
        plan.record_step_failure(step.name, problem.message, problem.hint)
        return "failed", problem.message, problem.hint


def execute_step(plan: Plan, name: str) -> State:
    """Execute one step of a plan whose other steps are executed elsewhere."""
    (step,) = (step for step in plan.read_steps() if step.name == name)
    statuses = plan.read_step_statuses()
    results = {name: status.result for name, status in statuses.items() if status.state == "done"}
    return _execute_step(plan, step, results)[0]


# --- the process ------------------------------------------------------------------------------------------------------


def open_job(folder: Path) -> Run | Plan:
    workspace = Workspace(folder.parent.parent)
    return Plan(folder, workspace) if folder.parent == workspace.plans_folder else Run(folder, workspace)


def _request_stop(_signal: int, _frame: Any) -> None:
    global _stop_requested
    _stop_requested = True


def main() -> int:
    signal.signal(signal.SIGTERM, _request_stop)
    signal.signal(signal.SIGINT, _request_stop)
    folder, *step = sys.argv[1:]
    job = open_job(Path(folder).resolve())
    try:
        if isinstance(job, Run):
            state = execute_run(job, stopping=job)
        else:
            state = execute_step(job, *step) if step else execute_plan(job)
    except BusyError:
        return 0  # another worker is running
    return STOPPED_EXIT_STATUS if state == "paused" and _stop_requested else _EXIT_STATUS[state]


if __name__ == "__main__":
    sys.exit(main())
