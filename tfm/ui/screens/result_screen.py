"""The end of a job in the menu: what came out on one screen, and the steps that follow, the most useful one first."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Literal

from rich.console import Console

from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui.comparison_rows import list_compared_models
from tfm.ui.next_steps import NextStep, list_next_steps
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question, ToMenu
from tfm.ui.result_page import find_last_run
from tfm.ui.screens import comparison_screen, job_end, show_job
from tfm.ui.screens.draw_result import Fitted, draw_head
from tfm.ui.screens.show_pages import show_pages

RESUME: Literal["resume"] = "resume"
DISMISS, HOME = "dismiss", "home"
_WHY = """\
The first row is the usual next step. It opens its form, and starts nothing before you confirm it.
p shows all warnings, tables, pictures and the protocol, c the settings that differ from the preset, a all settings."""
_PRINTED = {"p": job_end.print_end, "c": show_job.print_choices, "a": show_job.print_settings}
_LINES_BELOW = 4  # an empty one, the question, the keys, and one that stays free
_FEWEST_LINES = 6


def show_result(job: Run | Plan, asker: Asker, console: Console) -> NextStep | Literal["resume"] | None:
    """Show how a job ended. Returns the step to go on with, RESUME to start the job again, or None for home."""
    last = find_last_run(job)
    if last is not None and list_compared_models(last.read_status().result):
        return comparison_screen.show_comparison(last, asker, console)
    question = _build_question(job, console)
    with contextlib.suppress(Back, ToMenu):
        while isinstance(answer := asker.ask(question), Pressed):
            show_pages(partial(_PRINTED[answer.key], job), asker, console)
        if answer == DISMISS:
            job.dismiss()
        return None if answer in (DISMISS, HOME) else answer
    return None


def _build_question(job: Run | Plan, console: Console) -> Question:
    state = job.read_status().state
    steps = list_next_steps(job) if state == "done" or isinstance(job, Plan) else []
    choices = [Choice(step, step.title, step.about) for step in steps]
    if state not in ("done", "damaged", "running"):
        has_failed = state == "failed"
        resume = Choice(RESUME, "Try again" if has_failed else "Resume", "what is done is kept")
        choices = [*choices, resume] if has_failed else [resume, *choices]
    if state == "failed" and not job.is_dismissed():
        choices.append(Choice(DISMISS, "Dismiss", "show it among the runs only"))
    choices.append(Choice(HOME, "Home"))
    lines = max(_FEWEST_LINES, console.height - len(choices) - _LINES_BELOW)
    return Question(
        "next",
        "What next?",
        why=_WHY,
        choices=choices,
        default=choices[0].value,
        head=Fitted(draw_head(job, console), lines),
        actions={"p": "protocol", "c": "choices", "a": "all settings"},
    )
