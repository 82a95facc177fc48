"""Jobs in the menu: watch a job, show how it ended, and list all jobs."""

from __future__ import annotations

import contextlib
from typing import Any

from rich.console import Console

from tfm.core.errors import TFMError
from tfm.core.runs import lookup
from tfm.core.runs.executors import Executor, StartedJob, find_executor
from tfm.core.runs.plan import Plan
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.restart_or_extend import describe_extension, extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField, get_value
from tfm.ui.job_view import describe_job
from tfm.ui.next_steps import NextStep, list_next_steps
from tfm.ui.prompts import Asker, Back, Choice, Question, ToMenu
from tfm.ui.screens import job_end, live_view
from tfm.ui.screens.runs_commands import build_table, describe_outcome, describe_study, print_job, remove_job
from tfm.ui.spell_references import spell

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


def open_runs(workspace: Workspace, asker: Asker, console: Console) -> None:
    while True:
        console.clear()
        console.print(build_table(workspace))
        jobs: list[Run | Plan] = [*lookup.list_plans(workspace), *lookup.list_runs(workspace)]
        if not jobs:
            wait_for_enter(asker)
            return
        newest_first = sorted(jobs, key=lambda job: job.read_status().created, reverse=True)
        choices = [
            Choice(job.id, job.id, f"{job.read_status().state}  {describe_outcome(job)}") for job in newest_first
        ]
        chosen = asker.ask(Question("run", "Which run?", choices=choices))
        try:
            _act_on(lookup.find_job(workspace, chosen), asker, console)
        except Back:
            continue


def _find_extension(run: Run) -> SettingField | None:
    """None if the settings are damaged: such a run can still be shown and removed."""
    with contextlib.suppress(TFMError):
        return find_extensible_field(run)
    return None


def _ask_total(run: Run, extension: SettingField, asker: Asker) -> Any:
    before = get_value(load_settings(run), extension)

    def check(text: str) -> Any:
        total = extension.parse(text)
        if total <= before:
            raise ValueError(f"enter a total above {before}, with which it was started")
        return total

    text = spell(f"{extension.question} Enter the new total (so far {before})")
    return asker.ask(Question("total", text, spell(describe_extension(run)), check=check))


def _act_on(job: Run | Plan, asker: Asker, console: Console) -> None:
    state, is_alive = job.read_status().state, job.is_alive()
    choices = [Choice("show", "Show its settings and results")]
    extension = _find_extension(job) if isinstance(job, Run) and state == "done" else None
    if is_alive:
        choices += [Choice("see", "Watch it"), Choice("pause", "Pause it")]
    else:
        choices += [Choice("see", "Resume it")] if state not in ("done", "damaged") else []
        choices += [Choice("extend", f"Continue it with more {extension.name.replace('_', ' ')}")] if extension else []
        can_restart = isinstance(job, Run) and state != "damaged" and not job.read_status().part_of
        choices += [Choice("restart", "Run it again, as a new run")] if can_restart else []
        choices += [Choice("remove", "Remove it, with its results")]
    match asker.ask(Question("action", f"{job.id} ({state})", choices=choices)):
        case "show":
            print_job(job, console)
            wait_for_enter(asker)
        case "see":
            open_job(job, find_executor(job), asker, console)
        case "pause" if job.is_alive():
            find_executor(job).pause(job)
        case "extend" if isinstance(job, Run) and extension:
            executor = find_executor(job)
            open_job(extend_run(job, _ask_total(job, extension, asker), executor), executor, asker, console)
        case "restart" if isinstance(job, Run):
            executor = find_executor(job)
            open_job(restart_run(job, executor), executor, asker, console)
        case "remove":
            text = f"Remove it for good{describe_study(job)}?"
            choices = [Choice(False, "no"), Choice(True, "yes")]
            if asker.ask(Question("sure", text, choices=choices, default=False)):
                remove_job(job, console)
