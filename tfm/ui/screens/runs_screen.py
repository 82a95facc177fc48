"""The runs in the menu: a table that is true while a person looks, and what can be done with each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from rich.console import Console

from tfm.core.errors import TFMError
from tfm.core.runs import lookup
from tfm.core.runs.executors import find_executor
from tfm.core.runs.job_index import JobIndex, shorten_id
from tfm.core.runs.plan import Plan
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.restart_or_extend import describe_extension, extend_run, find_extensible_field, restart_run
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField, get_value
from tfm.ui import runs_table
from tfm.ui.next_steps import NextStep
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question
from tfm.ui.screens import job_menu, show_job
from tfm.ui.screens.queue_screen import open_queue
from tfm.ui.screens.runs_commands import describe_study, remove_job
from tfm.ui.spell_references import spell

_WHY = """\
Every run and plan of this workspace, the newest first. A score is the best one on validation.
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
            job_menu.wait_for_enter(asker)
            return None
        answer = asker.ask(question)
        if isinstance(answer, Pressed):
            everything, chosen = not everything, answer.value
        else:
            chosen = answer
            if step := open_job_actions(lookup.find_job(workspace, chosen), asker, console):
                return step


def open_job_actions(job: Run | Plan, asker: Asker, console: Console) -> NextStep | None:
    """Ask what to do with a job until the person goes back or it is done. Esc leaves an inner question only."""
    while True:
        console.clear()
        state = job.read_status().state
        extension = _find_extension(job) if isinstance(job, Run) and state == "done" else None
        choices = [Choice(name, title) for name, (title, _) in _list_actions(job, extension).items()]
        try:
            action = asker.ask(Question("action", f"{shorten_id(job.id)} ({state})", choices=choices))
        except Back:
            return None
        act = _list_actions(job, extension)[action][1]
        with contextlib.suppress(Back):
            step = act(job, asker, console)
            if step or action not in ("show", "queue"):
                return step


_Act = Callable[[Any, Asker, Console], NextStep | None]


def _list_actions(job: Run | Plan, extension: SettingField | None) -> dict[str, tuple[str, _Act]]:
    """What can be done with a job now: the title and what it does."""
    status, is_alive = job.read_status(), job.is_alive()
    actions: dict[str, tuple[str, _Act]] = {"show": ("Show its results and settings", _show)}
    if is_alive:
        actions |= {"see": ("Watch it", _open), "pause": ("Pause it", lambda job, *_: find_executor(job).pause(job))}
    elif status.state not in ("done", "damaged"):
        actions["see"] = ("Resume it", _open)
    if isinstance(job, Plan) and status.state not in ("done", "damaged"):
        actions["queue"] = ("Edit what waits in it", lambda job, asker, console: open_queue(job, asker, console))
    if status.state == "failed" and not job.is_dismissed():
        actions["dismiss"] = ("Dismiss the failure: it no longer comes first", lambda job, *_: job.dismiss())
    if is_alive:
        return actions
    if extension:
        title = f"Continue it with more {extension.name.replace('_', ' ')}"
        actions["extend"] = (title, lambda job, asker, console: _extend(job, extension, asker, console))
    if isinstance(job, Run) and status.state != "damaged" and not status.part_of:
        actions["restart"] = ("Run it again, as a new run", _restart)
    return actions | {"remove": ("Remove it, with its results", _remove)}


def _show(job: Run | Plan, asker: Asker, console: Console) -> NextStep | None:
    console.clear()
    show_job.print_job(job, console)
    choices = [Choice("back", "Go back"), Choice("all", "Show all settings")]
    if asker.ask(Question("shown", "What next?", choices=choices, default="back")) == "all":
        show_job.print_settings(job, console)
        job_menu.wait_for_enter(asker)
    return None


def _open(job: Run | Plan, asker: Asker, console: Console) -> NextStep | None:
    return job_menu.open_job(job, find_executor(job), asker, console)


def _restart(run: Run, asker: Asker, console: Console) -> NextStep | None:
    executor = find_executor(run)
    return job_menu.open_job(restart_run(run, executor), executor, asker, console)


def _extend(run: Run, extension: SettingField, asker: Asker, console: Console) -> NextStep | None:
    executor = find_executor(run)
    return job_menu.open_job(extend_run(run, _ask_total(run, extension, asker), executor), executor, asker, console)


def _remove(job: Run | Plan, asker: Asker, console: Console) -> NextStep | None:
    text = f"Remove {shorten_id(job.id)} for good{describe_study(job)}?"
    choices = [Choice(False, "no"), Choice(True, "yes")]
    if not asker.ask(Question("sure", text, choices=choices, default=False)):
        raise Back
    remove_job(job, console)
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
