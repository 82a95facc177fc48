"""The runs in the menu: a table that is true while a person looks, and what can be done with each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console

from tfm.core.errors import TFMError
from tfm.core.runs.executors import find_executor
from tfm.core.runs.job_index import JobIndex, ListedJob
from tfm.core.runs.plan import Plan
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.restart_or_extend import describe_extension, extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField, get_value
from tfm.ui import runs_table
from tfm.ui.job_words import describe_state
from tfm.ui.next_steps import NextStep
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question, wait_for_enter
from tfm.ui.screens import job_menu, show_job
from tfm.ui.screens.queue_screen import open_queue
from tfm.ui.screens.runs_commands import describe_study, remove_job
from tfm.ui.spell_references import spell

_WHY = """\
Every run and plan of this workspace, the newest first. Under "validation": the best score on those images.
A plan has several runs: they are behind it, and in this list with "every run"."""
_EVERYTHING = "e"


def open_runs(workspace: Workspace, asker: Asker, console: Console) -> NextStep | None:
    """Show the table until the person goes back, or chooses what to do after a run."""
    index, everything, chosen = JobIndex(workspace), False, None

    def build() -> Question:
        index.refresh()
        jobs = runs_table.select_jobs(index, everything=everything)
        return Question(
            "run",
            "Which run?",
            _WHY,
            [Choice(one.job.id, one.name, cells=runs_table.format_cells(one)) for one in jobs],
            default=chosen,
            columns=runs_table.COLUMNS,
            actions={_EVERYTHING: "only plans and single runs" if everything else "every run"},
            refresh=build,
        )

    while True:
        console.clear()
        question = build()
        if not question.choices:
            console.print("Nothing was started in this workspace yet.")
            wait_for_enter(asker)
            return None
        answer = asker.ask(question)
        if isinstance(answer, Pressed):
            everything, chosen = not everything, answer.value
        else:
            chosen = answer
            if step := open_job_actions(index, chosen, asker, console):
                return step


def open_job_actions(index: JobIndex, job_id: str, asker: Asker, console: Console) -> NextStep | None:
    """Ask what to do with a job until the person goes back or it is done. Esc leaves an inner question only."""
    while True:
        console.clear()
        index.refresh()
        listed = index.find(job_id)
        if listed is None:  # it was removed elsewhere
            return None
        actions = {action.name: action for action in _list_actions(listed, index)}
        choices = [Choice(name, action.title) for name, action in actions.items()]
        text = f"{listed.name} ({describe_state(listed)})"
        try:
            chosen = actions[asker.ask(Question("action", text, choices=choices))]
        except Back:
            return None
        with contextlib.suppress(Back):
            step = chosen.act(asker, console)
            if step or chosen.ends:
                return step


@dataclass(frozen=True)
class _Action:
    """What can be done with a job. One that `ends` leads back to the list."""

    name: str
    title: str
    act: Callable[[Asker, Console], NextStep | None]
    ends: bool = True


def _list_actions(listed: ListedJob, index: JobIndex) -> Iterator[_Action]:
    job, state, is_alive = listed.job, listed.state, listed.job.is_alive()
    yield _Action("show", "Show its results and settings", partial(_show, job), ends=False)
    if isinstance(job, Plan):
        yield _Action("steps", "Show its steps, or change what waits", partial(_open_steps, index, job), ends=False)
    if is_alive:
        yield _Action("see", "Watch it", partial(_open, job))
        yield _Action("pause", "Pause it", lambda *_: find_executor(job).pause(job))
        return
    if state not in ("done", "damaged") or "waiting" in listed.steps.values():
        yield _Action("see", "Resume it", partial(_open, job))
    if state == "failed" and not listed.is_dismissed:
        yield _Action("dismiss", "Dismiss the failure: it no longer comes first", lambda *_: job.dismiss())
    if isinstance(job, Run):
        if state == "done" and (extension := _find_extension(job)):
            title = f"Continue it with more {extension.name.replace('_', ' ')}"
            yield _Action("extend", title, partial(_extend, job, extension))
        if state != "damaged" and not listed.status.part_of:
            yield _Action("restart", "Run it again, as a new run", partial(_restart, job))
    yield _Action("remove", "Remove it, with its results", partial(_remove, listed))


def _show(job: Run | Plan, asker: Asker, console: Console) -> NextStep | None:
    if not job.is_alive():
        return job_menu.review_job(job, find_executor(job), asker, console)
    console.clear()
    show_job.print_job(job, console)
    choices = [Choice("back", "Go back"), Choice("all", "Show all settings")]
    if asker.ask(Question("shown", "What next?", choices=choices, default="back")) == "all":
        show_job.print_settings(job, console)
        wait_for_enter(asker)
    return None


def _open_steps(index: JobIndex, plan: Plan, asker: Asker, console: Console) -> NextStep | None:
    """Edit the queue, or open the run of a step, until the person goes back."""
    while run_id := open_queue(index, plan, asker, console):
        if step := open_job_actions(index, run_id, asker, console):
            return step
    return None


def _open(job: Run | Plan, asker: Asker, console: Console) -> NextStep | None:
    return job_menu.open_job(job, find_executor(job), asker, console)


def _restart(run: Run, asker: Asker, console: Console) -> NextStep | None:
    executor = find_executor(run)
    return job_menu.open_job(restart_run(run, executor), executor, asker, console)


def _extend(run: Run, extension: SettingField, asker: Asker, console: Console) -> NextStep | None:
    executor = find_executor(run)
    return job_menu.open_job(extend_run(run, _ask_total(run, extension, asker), executor), executor, asker, console)


def _remove(listed: ListedJob, asker: Asker, console: Console) -> NextStep | None:
    text = f"Remove {listed.name} for good{describe_study(listed.job)}?"
    choices = [Choice(False, "no"), Choice(True, "yes")]
    if not asker.ask(Question("sure", text, choices=choices, default=False)):
        raise Back
    remove_job(listed.job, console)
    return None


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
