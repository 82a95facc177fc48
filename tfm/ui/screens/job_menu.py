"""Jobs in the menu: watch a job, show how it ended, and list all jobs."""

from __future__ import annotations

import contextlib

from rich.console import Console

from tfm.core.runs.executors import Executor, StartedJob, find_executor
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui.job_view import describe_job
from tfm.ui.next_steps import NextStep, list_next_steps
from tfm.ui.prompts import Asker, Back, Choice, Question, ToMenu
from tfm.ui.screens import job_end, live_view

_LEAVING = (
    Choice("leave", "Leave it running and go back"),
    Choice("pause", "Pause it at the next safe point"),
    Choice("stop", "Stop it at once (it resumes from its last checkpoint)"),
    Choice("stay", "Continue watching"),
)


def open_job(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> NextStep | None:
    """Start a job or attach to it, watch it, and show how it ended. Returns what the person wants to do next."""
    is_done = isinstance(job, Run) and job.read_status().state == "done"
    started = StartedJob(job) if is_done else executor.submit(job)
    while started.is_running():
        console.clear()
        try:
            if not live_view.watch_job(started, console, moving=not asker.is_plain):
                return None
        except KeyboardInterrupt:
            console.clear()
            text = f"{describe_job(job)}."
            match asker.ask(Question("leaving", text, choices=_LEAVING, default="leave", can_go_back=False)):
                case "leave":
                    return None
                case "pause":
                    find_executor(job).pause(job)
                case "stop":
                    find_executor(job).cancel(job)
    console.clear()
    job_end.print_end(job, console)
    return _ask_next_step(job, asker)


def _ask_next_step(job: Run | Plan, asker: Asker) -> NextStep | None:
    steps = list_next_steps(job) if job.read_status().state == "done" else []
    if not steps:
        wait_for_enter(asker)
        return None
    choices = [*(Choice(step, step.title, step.about) for step in steps), Choice(None, "Home")]
    with contextlib.suppress(Back, ToMenu):
        return asker.ask(Question("next", "What next?", choices=choices, default=steps[0]))  # type: ignore[no-any-return]
    return None


def wait_for_enter(asker: Asker) -> None:
    """Esc and Ctrl-C count as Enter."""
    with contextlib.suppress(Back, ToMenu):
        asker.ask(Question("continue", "Press Enter to go back", default=""))
