"""Works a run: asks its stage for event after event, records each and hands it on. Who stops asking pauses it.

Whether and when to stop is for whoever takes the events to say: the worker, or a study for its trials.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfm.core import registry
from tfm.core.errors import DiskError, HaltedError, RunError, translate_error
from tfm.core.events import Event, Result, StateChange
from tfm.core.runs.command_settings import load_settings
from tfm.core.runs.inputs import compute_run_key
from tfm.core.runs.job import State, format_now
from tfm.core.runs.run import Run
from tfm.core.settings import presets


@dataclass(frozen=True)
class _Ending:
    state: State
    message: str = ""
    hint: str = ""


def execute(run: Run) -> Iterator[Event]:
    """The events of a run that is held and recorded meanwhile; of one that is done, none. Close it where it should
    pause."""
    begun = time.monotonic()
    spent = run.read_seconds_spent()
    result: Result | None = None
    with run.hold_lock(), run.open_event_log():
        if run.read_status().state == "done":  # by another worker, while this one waited for the lock
            return
        run.update(**build_start_changes(spent))
        run.record(StateChange("running"))
        ending = _Ending("done")
        try:
            with contextlib.closing(_events(run)) as events:  # type: ignore[type-var]
                for event in events:
                    run.record(event)
                    if isinstance(event, Result):
                        result = event
                    yield event
        except GeneratorExit:
            ending = _Ending("done" if result else "paused")
        except Exception as error:
            trouble = translate_error(error, run.log_file)
            outside = isinstance(trouble, HaltedError | DiskError)  # nothing in the run itself keeps it from going on
            ending, result = _Ending("halted" if outside else "failed", trouble.message, trouble.hint), None
        run.record(StateChange(ending.state, ending.message, ending.hint))
        outputs = run.describe_outputs(result.outputs) if result else []
        seconds = spent + time.monotonic() - begun
        last_words = build_end_changes(ending.state, ending.message, ending.hint, seconds)
        run.update(**last_words, result=result.values if result else {}, outputs=outputs)
        run.withdraw_pause()


def prune_run(run: Run, why: str) -> None:
    """End for good a run that stands still, where it stands."""
    with run.hold_lock(), run.open_event_log():
        run.record(StateChange("pruned", why))
        run.update(state="pruned", message=why, hint="")


def _events(run: Run) -> Iterator[Event]:
    stage = registry.find_stage(run.read_stage())
    settings = load_settings(run)
    if compute_run_key(run.workspace, stage, settings) != run.read_status().key:
        raise _changed(run)
    run.save_start_facts(**_environment())
    with contextlib.closing(stage.generate(settings, run)) as events:  # type: ignore[type-var]
        yield from events


def _changed(run: Run) -> RunError:
    if not run.has_original_settings():
        return RunError(
            f"{run.settings_file} was changed, and with other settings it is another run",
            hint=f"put back what stood there, or start that other one: {run.describe_restart()}",
        )
    return RunError(
        "what this run reads, or the stage itself, has changed since it began",
        hint=f"start it anew: {run.describe_restart()}",
    )


def build_start_changes(spent: float) -> dict[str, Any]:
    """What the status of a job says from now on."""
    here = {"pid": os.getpid(), "host": socket.gethostname(), "started": format_now()}
    return {"state": "running", "seconds": spent, "message": "", "hint": "", **here}


def build_end_changes(state: State, message: str, hint: str, seconds: float) -> dict[str, Any]:
    return {"state": state, "ended": format_now(), "seconds": round(seconds, 1), "message": message, "hint": hint}


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "host": socket.gethostname(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "-C", str(presets.PROJECT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # a machine without git
        return "unknown"
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"
