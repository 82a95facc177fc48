"""Home: the state of the work, and what can be done next with the most useful step under the cursor."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import Any

from rich.console import Console

from tfm.core.runs.job_index import ListedJob
from tfm.core.runs.workspace import DEFAULT_WORKSPACE, Workspace
from tfm.ui import render
from tfm.ui.home_state import HomeReader, HomeState
from tfm.ui.job_words import describe_count, describe_state, name_job
from tfm.ui.keyboard import hide_typed_keys
from tfm.ui.prompts import Asker, Back, Choice, Question, ToMenu, create_asker
from tfm.ui.screens.home_panel import HomePanel, draw_plainly
from tfm.ui.spell_references import set_reader, spell, write_command_line

_MOST_JOBS = 3  # of the rows for running, stopped and failed jobs; the others are behind "Runs"
_WHY = """\
The four lines above say how far the work is: a dataset, its images, trained models, their comparison.
The row under the cursor is what comes next. Nothing is lost when you quit: runs continue by themselves."""


def run_home(workspace: Path | None, accessible: bool) -> None:
    console = render.create_console(color_system=None if accessible else "auto")  # no colours: no block pictures
    opened = Workspace(workspace or DEFAULT_WORKSPACE)
    set_reader(opened, in_menu=True)
    with contextlib.nullcontext() if accessible else hide_typed_keys():
        Home(opened, create_asker(accessible, console), console).run()


class Home:
    def __init__(self, workspace: Workspace, asker: Asker, console: Console) -> None:
        self.workspace = workspace
        self.asker = asker
        self.console = console
        self.reader = HomeReader(workspace)

    def run(self) -> None:
        while True:
            self.console.clear()
            try:
                chosen = self.asker.ask(self.build_question())
            except (ToMenu, Back):  # Ctrl-C at home quits
                chosen = "quit"
            if chosen == "quit":
                self._take_leave()
                return
            self.open(chosen)

    def _take_leave(self) -> None:
        if running := self.reader.read().running:
            names = running[0].name if len(running) == 1 else f"{len(running)} runs"
            command = f"`{write_command_line([], self.workspace)}`"
            text = f"{names} will go on without this window; to return: {command}"
            self.console.print(spell(text), soft_wrap=True)

    def build_question(self) -> Question:
        state = self.reader.read()
        choices = _list_first_choices() if state.is_empty else [*_list_jobs(state), *_list_steps(state)]
        return Question(
            name="home",
            text="How do you want to begin?" if state.is_empty else "What next?",
            why=_WHY,
            choices=choices,
            default=_choose_default(state, [choice.value for choice in choices]),
            can_go_back=False,
            aside="Ctrl-C quits",
            actions={"m": "every command"} if state.is_empty else {},
            head=draw_plainly(state, self.workspace) if self.asker.is_plain else HomePanel(state, self.workspace),
            refresh=self._refresh,
        )

    def _refresh(self) -> Question:
        """Load what the first choice needs while the person reads."""
        importlib.import_module("tfm.ui.screens.open_choice")
        return self.build_question()

    def open(self, chosen: Any) -> None:
        from tfm.ui.screens.open_choice import ChoiceOpener  # not before the first screen: it loads every form

        ChoiceOpener(self.workspace, self.asker, self.console, self.reader.index).open(chosen)


def _list_first_choices() -> list[Choice]:
    """The three ways to begin in an empty workspace."""
    return [
        Choice("see", "See it work", "on synthetic images, from the download to a comparison"),
        Choice("organize", "Use my download", "of CBIS-DDSM, another collection, or your own images"),
        Choice("data", "Get the data", "download CBIS-DDSM or a part of it, or practise"),
    ]


def _list_jobs(state: HomeState) -> list[Choice]:
    """The jobs that run, stopped or failed."""
    titles = {"Watch": state.running, "Resume": state.stopped, "Failed": state.failed}
    choices = [Choice(f"job {one.job.id}", title, _describe_job(one)) for title, jobs in titles.items() for one in jobs]
    return choices[:_MOST_JOBS]


def _describe_job(one: ListedJob) -> str:
    if one.state == "failed":
        return f"{name_job(one)}: {spell(one.status.message).splitlines()[0]}" if one.status.message else name_job(one)
    if one.state != "running":
        return f"{name_job(one)}: {describe_state(one)}"
    left = one.progress.seconds_left if one.progress else None
    parts = [describe_count(one.progress), f"about {render.format_time_left(left)} left" if left else ""]
    return ": ".join(filter(None, [name_job(one), ", ".join(filter(None, parts))]))


def _list_steps(state: HomeState) -> list[Choice]:
    choices = [Choice(step, step.title, step.about) for step in state.steps]
    choices.append(Choice("data", "Data", "practice images, download a collection, organize"))
    if state.datasets:
        choices.append(Choice("images", "Images", "preprocess, look at examples"))
    if state.trained:
        choices.append(Choice("results", "Results", "compare, evaluate, explain, predict, report"))
    if state.jobs:
        failed = f", {len(state.failed)} failed" if state.failed else ""
        count = "1 run" if state.jobs == 1 else f"{state.jobs} runs"
        choices.append(Choice("runs", "Runs", count + failed))
    choices.append(Choice("more", "More", "every command: tune, pretrain, segment, forest, experiment, …"))
    return [*choices, Choice("quit", "Quit", "runs go on by themselves" if state.running else "")]


def _choose_default(state: HomeState, values: list[Any]) -> Any:
    """What runs, else what stopped, else the next step; at the first start the demo."""
    first = ["see", *(f"job {one.job.id}" for one in (*state.running, *state.stopped))]
    return next((value for value in [*first, *state.steps, "data"] if value in values), values[0])
