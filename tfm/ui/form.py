"""Fill a form: ask the important settings in order, then show a summary in which any setting can be changed.

A setting's own type checks its answer. form_state holds the answers; form_summary draws them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any

from rich.console import Console

from tfm.core import registry
from tfm.core.errors import SettingsError, TFMError
from tfm.core.runs.cluster import list_clusters
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import SettingField
from tfm.ui import form_summary, watch_preview
from tfm.ui.equivalent_command_line import FilledForm
from tfm.ui.field_prompts import build_place_question, build_question, format_name, format_value
from tfm.ui.form_state import FormState
from tfm.ui.prompts import Asker, Back, Choice, Question
from tfm.ui.saved_answers import SavedAnswers
from tfm.ui.spell_references import spell

_SUMMARY = "summary"


class Form:
    """`start` runs a trial on a few images; the caller starts what the form itself describes."""

    def __init__(
        self, stage: str, workspace: Workspace, asker: Asker, console: Console, start: Callable[[FilledForm], None]
    ) -> None:
        self.workspace = workspace
        self.start = start
        self.asker = asker
        self.console = console
        self.state = FormState(stage, workspace)
        self.answers = SavedAnswers(workspace.answers_file)
        self.inspected_values: dict[str, Any] | None = None
        self.inspection_events: list[watch_preview.ShownEvent] = []
        self.inspection_error: TFMError | None = None
        self.fields_to_inspect: tuple[str, ...] = ()
        self.previewed_settings: list[Settings] = []
        self.preview_events: list[watch_preview.ShownEvent] = []

    def fill(self) -> FilledForm:
        """Ask until the person chooses Start. Raises Back at the first question, and ToMenu."""
        self._load_answers()
        try:
            self.ask_all()
        finally:
            self.answers.save(self.state.stage, self.state.presets, self.state.answers)
        return self.state.filled_form

    def confirm(self, filled: FilledForm) -> FilledForm:
        """Show the summary of a form that is filled already. Raises Back and ToMenu."""
        self.state.presets, self.state.answers = filled.presets, dict(filled.given)
        if list_clusters(self.workspace):
            self._ask_place()
        self._show_summary()
        return self.state.filled_form

    def _load_answers(self) -> None:
        self.state.load_answers(self.answers.load(self.state.stage, self.state.presets))

    def ask_all(self) -> None:
        """Ask one question after the other; Back returns to the previous one."""
        answered: list[str] = []
        while _SUMMARY not in answered:
            try:
                name, ask = next(question for question in self._list_questions() if question[0] not in answered)
            except TFMError as error:  # raised by the inspection, which runs between two questions
                answered = self._reopen_questions(answered, error)
                continue
            try:
                ask()
                answered.append(name)
            except Back:
                if not answered:
                    raise
                answered.pop()

    def _list_questions(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the questions in order, and inspect the input as soon as its settings are answered."""
        stage = registry.find_command(self.state.stage)
        if isinstance(stage, registry.Stage) and stage.presets:
            names = self.workspace.list_presets(stage.presets, stage.default_preset)
            if names != [stage.default_preset]:
                yield "preset", partial(self._choose_preset, names, stage.default_preset)
        if self.state.inspection_path:
            for field in self._list_inspected_fields():
                yield field.name, partial(self._ask, field)
            self._inspect()
        for field in self.state.important:
            if self.state.needs_question(field):
                yield field.name, partial(self._ask, field)
        if list_clusters(self.workspace):
            yield "place", self._ask_place
        yield _SUMMARY, self._show_summary

    def _list_inspected_fields(self) -> list[SettingField]:
        """The required settings, and those that a failed inspection asked for."""
        required = [field for field in self.state.important if field.is_required]
        named = [field for field in self.state.fields if field.name in self.fields_to_inspect]
        return required + [field for field in named if not field.is_required]

    def _reopen_questions(self, answered: list[str], error: TFMError) -> list[str]:
        """Ask again the settings that a failed inspection names; raise its error if it names none that is asked."""
        if not self.state.inspection_path:
            raise error
        self.inspection_error, self.fields_to_inspect = error, _get_fields(error)
        before = [field.name for field in self._list_inspected_fields()]
        again = [name for name in before if name in (_get_fields(error) or before)]
        if not again:
            raise error
        return list(takewhile(lambda name: name not in again, answered))

    def _choose_preset(self, names: list[str], default: str | None) -> None:
        """Ask for one preset, or for several without a default. The user's broken presets are disabled."""
        choices, descriptions = [], []
        for name in names:
            try:
                found = find_preset(self.workspace, self.state.stage, name)
            except SettingsError as error:
                choices.append(Choice(name, name, disabled=spell(error.message)))
                continue
            assert found is not None
            choices.append(Choice(name, name, spell(found.title)))
            descriptions.append(spell(f"{name}: {found.title}\n{found.about}"))
        self._redraw()
        several, chosen = default is None, self.state.presets
        text = "Which models? (several make a queue)" if several else "Which preset?"
        before = list(chosen) if several else (chosen or (default,))[0]
        answer = self.asker.ask(Question("preset", text, "\n\n".join(descriptions), choices, several, before))
        self.state.presets = tuple(answer) if several else (answer,)
        self._load_answers()

    def _inspect(self) -> None:
        """Inspect the input if its settings have changed, or if the last inspection failed."""
        path = self.state.inspection_path
        values = self.state.collect_inspected_values() if path else None
        if path is None or values == self.inspected_values:
            return
        self.inspected_values, self.inspection_error, self.inspection_events = None, None, []
        self.state.apply_inspection(registry.InspectionResult())
        self._redraw()
        result = self._watch(registry.stream_events(path, values, self.workspace))
        self.inspected_values, self.inspection_events = values, result.shown
        self.state.apply_inspection(result.inspection)

    def _preview(self, resolved: list[Settings]) -> None:
        path = self.state.preview_path
        if path is None or resolved == self.previewed_settings:
            return
        self.previewed_settings = []
        self._redraw()
        events = (event for settings in resolved for event in registry.stream_events(path, settings, self.workspace))
        self.preview_events = self._watch(events).shown
        self.previewed_settings = resolved

    def _watch(self, events: Generator[Any, None, None]) -> watch_preview.PreviewResult:
        return watch_preview.watch_preview(events, self.console, moving=not self.asker.is_plain)

    def _show_summary(self) -> None:
        """Show the summary until the person chooses Start."""
        while True:
            problem, fields = self._find_problem()
            self._redraw()
            trial = None
            if problem is None:
                form_summary.print_summary(self.state, self.console)
                watch_preview.print_events(self.preview_events, self.console)
                trial = self.state.trial
            else:
                form_summary.print_problem(problem, self.console)
            choices = [Choice("start", "Start")] if problem is None else []
            choices += [Choice("mend", "Answer again")] if fields else []
            choices += [Choice("trial", "Try it on a few images first")] if trial else []
            choices += [Choice("change", "Change a setting …")]
            choices += [Choice("reset", "Reset to the defaults")] if self.state.answers else []
            text = "Start with these settings?" if problem is None else "What do you want to change?"
            match self.asker.ask(Question(_SUMMARY, text, choices=choices)):
                case "start":
                    return
                case "mend":
                    for field in self.state.fields:
                        if field.name in fields:
                            self._ask(field)
                case "trial" if trial is not None:
                    self.start(trial)
                case "change":
                    self._change_one()
                case "reset":
                    self.state.reset()

    def _find_problem(self) -> tuple[TFMError | None, tuple[str, ...]]:
        """Why the run cannot start, and the settings to change."""
        inspected = tuple(field.name for field in self._list_inspected_fields())
        try:
            self._inspect()
        except TFMError as error:
            return error, _get_fields(error) or inspected
        try:
            resolved = self.state.resolve()
            self.state.check_offered(resolved)
            self.state.list_queue()
            self._preview(resolved)
        except TFMError as error:
            return error, _get_fields(error)
        return None, ()

    def _ask(self, field: SettingField) -> None:
        """Ask for a setting. Choices that the inspection excludes are disabled, with the reason."""
        self._redraw()
        state, name = self.state, field.name
        question = build_question(field, state.get_value(field), self.workspace)
        if name in state.inspection.choices:
            why = spell(state.explain_offer(name))
            choices = [
                choice if state.is_offered(name, choice.value) else replace(choice, disabled=why)
                for choice in question.choices
            ]
            default = state.choose_offered(name, question.default, question.several)
            question = replace(question, choices=choices, default=default)
        state.answer(field, self.asker.ask(question))

    def _ask_place(self) -> None:
        self._redraw()
        self.state.on = self.asker.ask(build_place_question(self.workspace, self.state.on))

    def _change_one(self) -> None:
        """Offer every setting that has an effect, and the settings of the parts that are on, such as resize.height."""
        changeable, choices = {}, []
        ineffective = self.state.ineffective
        for field in self.state.fields:
            section = field.name if field.parts else field.group
            for one in (field, *self.state.list_part_fields(field)):
                if one.name not in ineffective:
                    value = self.state.get_value(one)
                    on = one.parts and sum(state is True for state in value.values())
                    shown = f"{on} of {len(value)} on" if one.parts else format_value(value)
                    title = f"{format_name(one.name)}: {shown}"
                    choices.append(Choice(one.name, title, spell(one.question), section=section))
                    changeable[one.name] = one
        self._redraw()
        with contextlib.suppress(Back):
            self._ask(changeable[self.asker.ask(Question("setting", "Which setting?", choices=choices))])

    def _redraw(self) -> None:
        """Clear the screen, so that old questions do not remain beside new ones."""
        self.console.clear()
        form_summary.print_header(self.state, self.console)
        watch_preview.print_events(self.inspection_events, self.console)
        if self.inspection_error is not None:
            form_summary.print_problem(self.inspection_error, self.console)


def _get_fields(error: TFMError) -> tuple[str, ...]:
    return error.fields if isinstance(error, SettingsError) else ()
