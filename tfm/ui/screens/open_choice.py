"""What opens when a person chooses a row of home: a form, a job, a list of commands, the runs.

It is loaded after the first screen, which has to be there at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from tfm.core import command_list, registry
from tfm.core.errors import TFMError, WeightsError, translate_error
from tfm.core.runs import lookup
from tfm.core.runs.cluster import THIS_MACHINE, list_clusters
from tfm.core.runs.executors import Executor, find_executor, open_executor
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import list_fields
from tfm.ui import next_steps, render
from tfm.ui.equivalent_command_line import FilledForm
from tfm.ui.field_prompts import build_place_question
from tfm.ui.form import Form
from tfm.ui.next_steps import NextStep
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question, ToMenu, wait_for_enter
from tfm.ui.screens import foreground, job_menu, runs_screen
from tfm.ui.spell_references import spell

_DATA = {
    "phantom": ("Practice", "synthetic images, ready in a minute"),
    "download": ("Download", "CBIS-DDSM or CMMD, from a public archive"),
    "organize": ("Organize", "a download or your own images"),
}
_IMAGES = {
    "preprocess": ("Preprocess", "a dataset, once for all models"),
    "contact-sheet": ("See examples", "after each step"),
}
_RESULTS = ("compare", "evaluate", "explain", "predict", "report")


class ChoiceOpener:
    def __init__(self, workspace: Workspace, asker: Asker, console: Console, index: JobIndex) -> None:
        self.workspace = workspace
        self.asker = asker
        self.console = console
        self.index = index

    def open(self, chosen: Any) -> None:
        """Show an error instead of leaving the program. Ctrl-C between two screens leads back here, too."""
        try:
            self._open(chosen)
        except (Back, ToMenu, KeyboardInterrupt):
            return
        except Exception as error:
            self._show_error(error)

    def _show_error(self, error: Exception) -> None:
        render.print_error(self.console, translate_error(error))
        wait_for_enter(self.asker)

    def _open(self, chosen: Any) -> None:
        if isinstance(chosen, NextStep):
            self._follow(chosen)
        elif isinstance(chosen, str) and chosen.startswith("job "):
            self._open_job(lookup.find_job(self.workspace, chosen.removeprefix("job ")))
        elif chosen == "see":
            self._show_the_way()
        elif chosen == "data":
            self._open_data()
        elif chosen == "images":
            self._open_command(self._ask_command("Which step?", {name: _IMAGES[name] for name in _IMAGES}))
        elif chosen == "results":
            self._open(self._ask_command("What do you want to see?", dict.fromkeys(_RESULTS), *self._list_results()))
        elif chosen == "more" or isinstance(chosen, Pressed):
            self._open_command(self._ask_command("Which step do you want to run?", {}))
        elif chosen == "runs":
            self._follow(runs_screen.open_runs(self.workspace, self.asker, self.console))
        else:
            self._open_command(chosen)

    def _open_job(self, job: Run | Plan) -> None:
        """Watch or resume a job; of a failed one say first why it failed."""
        opens = job_menu.review_job if job.read_status().state == "failed" else job_menu.open_job
        self._follow(opens(job, find_executor(job), self.asker, self.console))

    def _show_the_way(self) -> None:
        ways = [
            Choice("demo", "All at once", "a demo of about 4 minutes, with three small models"),
            Choice("phantom", "Step by step", "with your own choices, beginning with practice images"),
        ]
        way = self.asker.ask(Question("way", "How do you want to see it?", "Both show the same steps.", ways))
        self._follow(next_steps.make_practice_images(self.workspace) if way == "phantom" else NextStep("", "", way))

    def _open_data(self) -> None:
        match self._ask_command("Which images?", _DATA):
            case "phantom":
                self._follow(next_steps.make_practice_images(self.workspace))
            case command:
                self._open_command(command)

    def _ask_command(self, text: str, rows: Mapping[str, tuple[str, str] | None], *others: Choice) -> Any:
        """Ask for one of these commands, or for any. A command that lacks an input says which."""
        stages = {one.stage for one in self.index.runs if one.state == "done" and not one.status.part_of}
        choices = []
        for section, names in command_list.list_sections().items():
            for name in names:
                if name in rows or not rows:
                    title, about = rows.get(name) or (name, spell(command_list.read_summary(name)))
                    missing = self._explain_missing_input(name, stages)
                    choices.append(Choice(name, title, about, missing, "" if rows else section))
        why = "Each of these steps can run on its own. Some are also part of the training of a model."
        return self.asker.ask(Question("command", text, why, [*choices, *others]))

    def _list_results(self) -> list[Choice]:
        """The newest result of each command, to see it again."""
        newest = {one.stage: one for one in self.index.runs if one.stage in _RESULTS and one.state == "done"}
        return [Choice(f"job {one.job.id}", f"the last {stage}", one.name) for stage, one in newest.items()]

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

    def _open_command(self, name: str) -> None:
        found = registry.find_command(name)
        if not isinstance(found, registry.Answer):
            self._follow(NextStep(name, "", name))
            return
        given = self._ask_doctor() if name == "doctor" else {}
        foreground.print_answer(found, given, self.workspace, as_json=False)
        wait_for_enter(self.asker)

    def _ask_doctor(self) -> dict[str, Any]:
        if list_clusters(self.workspace):
            place = self.asker.ask(build_place_question(self.workspace, None))
            if place != THIS_MACHINE:
                return {"on": place}
        ways = [
            Choice(False, "Check it", "Python, PyTorch, GPU, memory, disk and weights"),
            Choice(True, "Prove it", "kill a small training five times, and resume it"),
        ]
        return {"prove": self.asker.ask(Question("prove", "What should be done with this machine?", choices=ways))}

    def _follow(self, step: NextStep | None) -> None:
        """Start a step, and go on with the one that the person chooses at its end."""
        while step is not None:
            origin = step.origin
            try:
                step = self._start_step(step)
            except Back:
                if origin is None:
                    raise
                step = job_menu.review_job(origin, find_executor(origin), self.asker, self.console)

    def _start_step(self, step: NextStep) -> NextStep | None:
        """Fill the form of a step and run it; after a refusal, show its review again."""
        filled, has_form = step.filled_form, not step.starts_at_once
        while True:
            if has_form:
                form = Form(step.stage, self.workspace, self.asker, self.console, self._start_trial)
                filled = form.fill(filled)
            has_form = True
            try:
                job, executor = self._find_job(filled)
            except TFMError as error:
                self._show_error(error)
            except Back:  # from the question whether to leave models out
                continue
            else:
                return job_menu.open_job(job, executor, self.asker, self.console)

    def _start_trial(self, trial: FilledForm) -> None:
        try:
            job_menu.open_trial(*self._find_job(trial), self.asker, self.console)
        except TFMError as error:  # back to the form
            self._show_error(error)

    def _find_job(self, filled: FilledForm) -> tuple[Run | Plan, Executor]:
        """The job of these settings, and what runs it."""
        executor = open_executor(self.workspace, filled.on) if filled.on else None
        try:
            job = self._create_job(filled, executor)
        except WeightsError as error:
            job = self._create_job(self._leave_out(filled, error), executor)
        return job, executor or find_executor(job)

    def _create_job(self, filled: FilledForm, executor: Executor | None) -> Run | Plan:
        is_here = filled.on in (None, THIS_MACHINE)
        shown = self.console.status("Checking before the start …")
        with contextlib.nullcontext() if self.asker.is_plain else shown:
            return find_or_create_job(
                self.workspace, filled.stage, filled.given, filled.presets, executor, needs_weights=is_here
            )

    def _leave_out(self, filled: FilledForm, error: WeightsError) -> FilledForm:
        """Ask whether to start a queue without the models whose weights are missing."""
        kept = tuple(name for name in filled.presets if not error.concerns(name))
        if not kept:
            raise error
        render.print_error(self.console, error)
        choice = Choice(kept, "Leave them out", f"and start {', '.join(kept)}")
        question = Question("leave_out", "Some weights cannot be reached. What do you want to do?", choices=[choice])
        return replace(filled, presets=self.asker.ask(question))
