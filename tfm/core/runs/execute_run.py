"""Execute a run: record and yield the events of its pipeline.

The caller pauses the run by closing the generator.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from tfm.core import registry
from tfm.core.errors import DiskError, HaltedError, RunError, translate_error
from tfm.core.events import Event, Result, StateChange
from tfm.core.runs import slurm_queue, torchrun
from tfm.core.runs.job_folder import format_now
from tfm.core.runs.keys import compute_run_key
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.resources import read_resources
from tfm.core.runs.run import Run
from tfm.core.settings import presets


def execute(run: Run) -> Iterator[Event]:
    """Yield the events of a run while its lock is held; none if it is done. Close the generator to pause the run."""
    began = time.monotonic()
    spent = run.read_seconds_spent()
    result: Result | None = None
    with run.hold_lock(), run.open_event_log():
        if run.read_status().state == "done":  # by another worker, while this one waited for the lock
            return
        slurm_queue.record_current_place(run.folder)
        run.update(**build_start_changes(spent))
        run.record(StateChange("running"))
        end = StateChange("done")
        try:
            with contextlib.closing(_generate_events(run)) as events:  # type: ignore[type-var]
                for event in events:
                    run.record(event)
                    if isinstance(event, Result):
                        result = event
                    yield event
        except GeneratorExit:
            end = StateChange("done" if result else "paused")
        except Exception as error:
            problem = translate_error(error, run.log_file)
            can_resume = isinstance(problem, HaltedError | DiskError)  # the cause is outside of the run
            end = StateChange("halted" if can_resume else "failed", problem.message, problem.hint)
            result = None
        run.record(end)
        outputs = run.describe_outputs(result.outputs) if result else []
        changes = build_end_changes(end.state, end.message, end.hint, spent + time.monotonic() - began)
        run.update(**changes, result=result.values if result else {}, outputs=outputs)
        run.withdraw_pause()


def prune_run(run: Run, reason: str) -> None:
    """End a paused run for good."""
    with run.hold_lock(), run.open_event_log():
        run.record(StateChange("pruned", reason))
        run.update(state="pruned", message=reason, hint="")


def build_start_changes(spent: float) -> dict[str, Any]:
    """The changes to a job's status when a worker starts."""
    here = {"pid": os.getpid(), "host": socket.gethostname(), "started": format_now()}
    return {"state": "running", "seconds": spent, "message": "", "hint": "", **here}


def build_end_changes(state: str, message: str, hint: str, seconds: float) -> dict[str, Any]:
    """The changes to a job's status when a worker ends."""
    return {"state": state, "ended": format_now(), "seconds": round(seconds, 1), "message": message, "hint": hint}


def _generate_events(run: Run) -> Iterator[Event]:
    stage = registry.find_stage(run.read_stage())
    settings = load_settings(run)
    if compute_run_key(run.workspace, stage, settings) != run.read_status().key:
        raise _build_changed_run_error(run)
    run.save_start_facts(
        python=platform.python_version(),
        system=platform.platform(),
        host=socket.gethostname(),
        git_commit=_read_git_commit(),
    )
    resources = read_resources(stage, settings)
    shared = resources.is_distributed
    events = torchrun.generate_events(run, resources) if shared else stage.generate(settings, run)
    with contextlib.closing(events):  # type: ignore[type-var]
        yield from events


def _build_changed_run_error(run: Run) -> RunError:
    if not run.has_original_settings():
        return RunError(
            f"{run.settings_file} was changed, and other settings need another run",
            hint=f"restore the file, or start another run: {run.describe_restart()}",
        )
    return RunError(
        "the inputs of this run, or the program, have changed since it began",
        hint=f"start it again: {run.describe_restart()}",
    )


def _read_git_commit() -> str:
    command = ["git", "-C", str(presets.PROJECT), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # a machine without git
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"
