"""The steps of a queue in the menu: what waits can be moved, skipped, removed, and more models added."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from rich.console import Console

from tfm.core.errors import TFMError
from tfm.core.runs import edit_queue
from tfm.core.runs.job_folder import Status
from tfm.core.runs.job_index import JobIndex, ListedJob
from tfm.core.runs.plan import Plan
from tfm.ui import runs_table
from tfm.ui.job_words import describe_state
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question
from tfm.ui.screens.choose_models import ModelChooser
from tfm.ui.spell_references import spell

_WHY = """\
The queue works from top to bottom; Enter opens the run of a step. What has begun keeps its place.
A skipped model stays in the list and is left out. A removed one is gone; the comparison goes on without it."""
_ACTIONS: dict[str, tuple[str, Callable[[Plan, str], Any]]] = {
    "u": ("earlier", lambda plan, model: edit_queue.move_model(plan, model, -1)),
    "d": ("later", lambda plan, model: edit_queue.move_model(plan, model, 1)),
    "s": ("skip", edit_queue.skip_model),
    "k": ("keep", edit_queue.keep_model),
    "x": ("remove", edit_queue.remove_model),
}
_ALWAYS = ("s", "k")  # also for a step that has begun
_ADD, _OPEN = ("m", "more models"), "open"


def open_queue(index: JobIndex, plan: Plan, asker: Asker, console: Console) -> str | None:
    """Edit a plan until the person opens the run of a step, or goes back. A refused edit is explained on the screen."""
    step, problem = None, ""
    while True:
        console.clear()
        try:
            answer = asker.ask(_build_question(plan, index, step, problem))
        except Back:
            return None
        step, problem = answer.value if isinstance(answer, Pressed) else answer, ""
        if step is None:  # nothing is left to choose
            return None
        run_id = plan.read_runs().get(step)
        with contextlib.suppress(Back):
            key = answer.key if isinstance(answer, Pressed) else _ask_action(plan, step, run_id, asker)
            if key == _OPEN:
                return run_id
            try:
                _edit(plan, key, step, asker)
            except TFMError as error:
                problem = spell(error.message)


def _edit(plan: Plan, key: str, step: str, asker: Asker) -> None:
    if key == _ADD[0]:
        chooser = ModelChooser(plan.workspace, edit_queue.read_queue(plan).given)
        edit_queue.add_models(plan, asker.ask(chooser.ask_several([])))
    else:
        _ACTIONS[key][1](plan, step.partition("/")[0])


def _build_question(plan: Plan, index: JobIndex, step: str | None, problem: str) -> Question:
    index.refresh()
    listed = index.find(plan.id) or ListedJob(plan, Status(), "removed elsewhere")
    choices = [Choice(cells[0], cells[0], cells=cells) for cells in runs_table.format_steps(index, listed)]
    return Question(
        "step",
        problem or f"{listed.name}: {describe_state(listed)}",
        _WHY,
        choices,
        default=step,
        columns=runs_table.STEP_COLUMNS,
        actions={key: label for key, (label, _) in _ACTIONS.items()} | dict([_ADD]),
        refresh=lambda: _build_question(plan, index, step, problem),
    )


def _ask_action(plan: Plan, step: str, run_id: str | None, asker: Asker) -> str:
    """What to do with a step. One that is done can only be opened."""
    status = plan.read_step_statuses().get(step)
    if status and status.state == "done":
        return _OPEN
    choices = [Choice(key, label) for key, (label, _) in _ACTIONS.items() if not status or key in _ALWAYS]
    choices = [Choice(_OPEN, "open its run"), *choices] if run_id else choices
    key: str = asker.ask(Question("edit", f"What should happen with {step}?", choices=choices))
    return key
