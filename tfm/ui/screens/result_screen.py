"""The end of a job in the menu: what came out on one screen, and the steps that follow, the most useful one first."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui import render
from tfm.ui.comparison_rows import list_compared_models
from tfm.ui.next_steps import NextStep, list_next_steps
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question, ToMenu
from tfm.ui.result_page import ResultPage, build_page, find_last_run
from tfm.ui.screens import comparison_screen, job_end, show_job
from tfm.ui.screens.show_pages import show_pages
from tfm.ui.spell_references import spell

RESUME: Literal["resume"] = "resume"
DISMISS, HOME = "dismiss", "home"
_WHY = """\
The first row is the usual next step. It opens its form, and starts nothing before you confirm it.
p shows all tables, pictures and the whole protocol, c the settings that differ from the preset, a all settings."""
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
        head=Fitted(_draw_head(job, console), lines),
        actions={"p": "protocol", "c": "choices", "a": "all settings"},
    )


def _draw_head(job: Run | Plan, console: Console) -> list[RenderableType]:
    """The summary and why it is not done; the table, which may be cut; a line of protocol."""
    status = job.read_status()
    parts: list[RenderableType] = []
    page = build_page(job) if status.state == "done" or status.runs else ResultPage("", [], [], [])
    if page.summary:
        parts.append(Text(spell(page.summary) + "\n", "bold"))
    if status.state != "done":
        cause, *_ = job_end.describe_end(job, status)  # the rest are commands, which rows of this screen replace
        parts.append(_draw_problem(cause))
    if page.main:
        parts.append(render.draw_table(replace(page.main, caption=""), console.width))
        if page.main.caption:
            parts.append(draw_protocol(page.main.caption))
    return parts


def _draw_problem(line: TFMError | Text) -> RenderableType:
    if isinstance(line, Text):
        return line
    return Text(f"{spell(line.message)}\n", "red").append(f"What to do: {spell(line.hint)}\n", "not red")


def draw_protocol(caption: str) -> Text:
    """One dim line; the rest is behind a key."""
    return Text(spell(caption).replace("\n", " "), "dim", no_wrap=True, overflow="ellipsis")


class Fitted:
    """Renderables in at most so many lines: the second last one, a table, loses its last rows."""

    def __init__(self, parts: Sequence[RenderableType], lines: int) -> None:
        self.parts, self.lines = parts, lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Group(*self.parts), options, pad=False)
        if len(lines) > self.lines:
            kept = self.lines - 1
            lines = [*lines[:kept], [Segment(f"… {len(lines) - kept} more lines: press p")]]
        for line in [*lines, []]:
            yield from line
            yield Segment.line()
