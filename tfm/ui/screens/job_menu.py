"""Jobs in the menu: watch a job, show how it ended, and list all jobs."""

from __future__ import annotations

from rich.console import Console

from tfm.core.runs.executors import Executor, StartedJob, find_executor
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui.job_view import describe_job
from tfm.ui.next_steps import NextStep
from tfm.ui.prompts import Asker, Choice, Question, wait_for_enter
from tfm.ui.screens import job_end, live_view, result_screen

_LEAVING = (
    Choice("leave", "Leave it running and go back"),
    Choice("pause", "Pause it at the next safe point"),
    Choice("stop", "Stop it at once (it resumes from its last checkpoint)"),
    Choice("stay", "Continue watching"),
)


def open_job(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> NextStep | None:
    """Start a job or attach to it, watch it, and show how it ended. Returns what the person wants to do next."""
    return review_job(job, executor, asker, console) if _run(job, executor, asker, console) else None


def open_trial(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> None:
    """Run a trial, and show all that it made. The form that started it goes on."""
    if _run(job, executor, asker, console):
        console.clear()
        job_end.print_end(job, console)
        wait_for_enter(asker)


def review_job(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> NextStep | None:
    """Show how a job ended. Returns what the person wants to do next."""
    answer = result_screen.show_result(job, asker, console)
    return open_job(job, executor, asker, console) if answer == result_screen.RESUME else answer


def _run(job: Run | Plan, executor: Executor, asker: Asker, console: Console) -> bool:
    """Start a job or attach to it, and watch it until it ends; return False if the person left it running."""
    is_done = isinstance(job, Run) and job.read_status().state == "done"
    started = StartedJob(job) if is_done else executor.submit(job)
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
