"""Jobs in the menu: watch a job, show how it ended, and list all jobs."""

from __future__ import annotations

from rich.console import Console

from tfm.core.runs.executors import Executor, StartedJob, find_executor
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui.job_view import describe_job
from tfm.ui.next_steps import NextStep
from tfm.ui.prompts import Asker, Choice, Question
from tfm.ui.screens import live_view, result_screen

_LEAVING = (
    Choice("leave", "Leave it running and go back"),
    Choice("pause", "Pause it at the next safe point"),
    Choice("stop", "Stop it at once (it resumes from its last checkpoint)"),
    Choice("stay", "Continue watching"),
)


def open_job(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> NextStep | None:
    """Start a job or attach to it, watch it, and show how it ended. Returns what the person wants to do next."""
    is_done = isinstance(job, Run) and job.read_status().state == "done"
    if not _watch(StartedJob(job) if is_done else executor.submit(job), asker, console):
        return None
    return review_job(job, executor, asker, console)


def review_job(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> NextStep | None:
    """Show how a job ended. Returns what the person wants to do next."""
    answer = result_screen.show_result(job, asker, console)
    return open_job(job, executor, asker, console) if answer == result_screen.RESUME else answer


def _watch(started: StartedJob, asker: Asker, console: Console) -> bool:
    """Watch a job until it ends; return False if the person left it running."""
    job = started.job
    while started.is_running():
        console.clear()
        try:
            return live_view.watch_job(started, console, moving=not asker.is_plain)
        except KeyboardInterrupt:
            console.clear()
            text = f"{describe_job(job)}."
            match asker.ask(Question("leaving", text, choices=_LEAVING, default="leave", can_go_back=False)):
                case "leave":
                    return False
                case "pause":
                    find_executor(job).pause(job)
                case "stop":
                    find_executor(job).cancel(job)
    return True
