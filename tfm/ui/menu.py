"""The menu: the state of the workspace, what can be done now, and why the rest cannot be done yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tfm.core import command_list, machine, registry
from tfm.core.errors import translate_error
from tfm.core.runs import lookup
from tfm.core.runs.cluster import list_clusters
from tfm.core.runs.executors import find_executor, open_executor
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.inputs import find_readable_runs
from tfm.core.runs.job_folder import Status
from tfm.core.runs.lookup import list_unused_runs
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import DEFAULT_WORKSPACE, Workspace
from tfm.core.settings.fields import list_fields
from tfm.ui import render
from tfm.ui.equivalent_command_line import FilledForm
from tfm.ui.field_prompts import build_place_question
from tfm.ui.form import Form
from tfm.ui.prompts import Asker, Back, Choice, Question, ToMenu, create_asker
from tfm.ui.screens import foreground, job_menu
from tfm.ui.spell_references import set_reader, spell


def run_menu(workspace: Path | None, accessible: bool) -> None:
    console = render.create_console(color_system=None if accessible else "auto")  # no colours: no block pictures
    opened = Workspace(workspace or DEFAULT_WORKSPACE)
    set_reader(opened, in_menu=True)
    Menu(opened, create_asker(accessible, console), console).run()


Jobs = list[tuple[Run | Plan, Status]]


class Menu:
    def __init__(self, workspace: Workspace, asker: Asker, console: Console) -> None:
        self.workspace = workspace
        self.asker = asker
        self.console = console
        self.last: str | None = None

    def run(self) -> None:
        while True:
            try:
                chosen = self.asker.ask(self.build_screen())
            except (ToMenu, Back):  # Ctrl-C in the menu quits
                return
            if chosen == "leave":
                return
            self.last = chosen
            self.open_entry(chosen)

    def build_screen(self) -> Question:
        """The state of the workspace and the question below it. Each run is read once: there may be hundreds."""
        runs, plans = lookup.read_runs(self.workspace), lookup.read_plans(self.workspace)
        of_plans = {run for _, status in plans for run in status.runs.values()}
        jobs: Jobs = [*plans, *((run, status) for run, status in runs if run.id not in of_plans and not status.part_of)]
        return replace(self._build_question(jobs, runs), head=self._build_status_panel(jobs), refresh=self.build_screen)

    def _build_status_panel(self, jobs: Jobs) -> Panel:
        place, home = self.workspace.root, Path.home()
        states = [status.state for _, status in jobs]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        datasets, caches = (", ".join(self.workspace.list_products(kind)) for kind in ("dataset", "cache"))
        table = Table.grid(padding=(0, 2))
        table.add_row("[dim]workspace[/]", f"~/{place.relative_to(home)}" if place.is_relative_to(home) else str(place))
        table.add_row("[dim]device[/]", machine.describe_device())
        table.add_row("[dim]data[/]", f"datasets: {datasets or 'none yet'} · caches: {caches or 'none yet'}")
        table.add_row("[dim]runs[/]", counts or "none yet")
        return Panel(
            table,
            title="[bold cyan]TFM[/] · from mammograms to a comparison of models",
            subtitle="research and teaching, never diagnosis",
            border_style="cyan",
        )

    def _build_question(self, jobs: Jobs, runs: list[tuple[Run, Status]]) -> Question:
        choices = [
            *_list_unfinished(jobs, list_unused_runs(runs, result="winner", setting="study")),
            *(choice for choice in self._list_commands(runs) if choice.section in _list_first_sections()),
            Choice("runs", "runs", "Show, pause, resume, extend or remove runs", section="Other"),
            Choice("more", "more", "Single steps: pretrain, tune, forest, …", section="Other"),
            Choice("leave", "leave", section="Other"),
        ]
        return Question(
            name="menu",
            text="What do you want to do?",
            why="Work from top to bottom: first a dataset, then a cache, then models, then the comparison.\n"
            "A grey entry cannot run yet and says why. Nothing is lost when you leave: runs continue by themselves.",
            choices=choices,
            default=next((choice.value for choice in choices if choice.section == "Unfinished"), self.last),
            can_go_back=False,
        )

    def _list_commands(self, runs: list[tuple[Run, Status]]) -> list[Choice]:
        stages = {stage for _, stage in find_readable_runs(runs)}
        choices = []
        for section, names in command_list.list_sections().items():
            for name in names:
                summary = spell(command_list.read_summary(name))
                choices.append(Choice(name, name, summary, self._explain_missing_input(name, stages), section))
        return choices

    def _explain_missing_input(self, name: str, stages: set[str]) -> str | None:
        """Say which input a command still needs; None if it can run. `stages` have a run that it can read."""
        for field in list_fields(registry.find_command(name).settings):
            if not field.input or not field.is_required:
                continue
            if field.input.kind in ("dataset", "cache") and not self.workspace.list_products(field.input.kind):
                return f"needs a {field.input.kind}"
            if field.input.kind == "run" and stages.isdisjoint(field.input.made_by):
                return f"needs a run of {field.input.made_by[0]}"  # the usual command, to keep the line short
        return None

    def open_entry(self, chosen: str) -> None:
        self._report_errors(partial(self._open_entry, chosen))

    def _report_errors(self, act: Callable[[], None]) -> None:
        """Show an error instead of leaving the menu."""
        try:
            act()
        except (Back, ToMenu):
            return
        except Exception as error:
            render.print_error(self.console, translate_error(error))
            job_menu.wait_for_enter(self.asker)

    def _open_entry(self, chosen: str) -> None:
        action, _, job_id = chosen.partition(" ")
        if action == "winner":
            study = lookup.find_run(self.workspace, job_id)
            winner = FilledForm("train", (study.read_status().result["model"],), {"study": study.id})
            self._start(self._create_form("train").confirm(winner))
        elif job_id:
            job = lookup.find_job(self.workspace, job_id)
            job_menu.open_job(job, find_executor(job), self.asker, self.console)
        elif action == "more":
            why = "Each of these steps can run on its own. Some are also part of the training of a model."
            runs = lookup.read_runs(self.workspace)
            choices = [choice for choice in self._list_commands(runs) if choice.section not in _list_first_sections()]
            self._run_form(self.asker.ask(Question("more", "Which step do you want to run?", why, choices)))
        elif action == "runs":
            job_menu.open_runs(self.workspace, self.asker, self.console)
        else:
            self._run_form(action)

    def _run_form(self, name: str) -> None:
        found = registry.find_command(name)
        if isinstance(found, registry.Answer):
            has_choice = name == "doctor" and list_clusters(self.workspace)
            given = {"on": self.asker.ask(build_place_question(self.workspace, None))} if has_choice else {}
            foreground.print_answer(found, given, self.workspace, as_json=False)
            job_menu.wait_for_enter(self.asker)
            return
        self._start(self._create_form(name).fill())

    def _create_form(self, name: str) -> Form:
        def start_trial(trial: FilledForm) -> None:
            self._report_errors(partial(self._start, trial))  # an error leads back to the form

        return Form(name, self.workspace, self.asker, self.console, start_trial)

    def _start(self, filled: FilledForm) -> None:
        executor = open_executor(self.workspace, filled.on) if filled.on else None
        job = find_or_create_job(self.workspace, filled.stage, filled.given, filled.presets, executor)
        job_menu.open_job(job, executor or find_executor(job), self.asker, self.console)


def _list_first_sections() -> list[str]:
    return list(command_list.list_sections())[:2]


def _list_unfinished(jobs: Jobs, unused_studies: list[Run]) -> list[Choice]:
    """Jobs to watch or resume, and finished studies whose winner is not trained."""
    choices = []
    for job, status in reversed(jobs):
        if status.state == "running" or (status.state == "waiting" and job.is_alive()):
            about = f"{job.id} ({status.message})" if status.message else job.id
            choices.append(Choice(f"watch {job.id}", "watch", about, section="Running"))
        if status.state in ("halted", "paused"):
            choices.append(Choice(f"resume {job.id}", "resume", f"{job.id} ({status.state})", section="Unfinished"))
    for run in reversed(unused_studies):
        choices.append(Choice(f"winner {run.id}", "train the winner", f"of {run.id}", section="Next"))
    return sorted(choices, key=lambda choice: choice.section)
