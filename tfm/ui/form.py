"""Fill a form: ask the important settings in order, then show a summary in which any setting can be changed.

A setting's own type checks its answer. form_state holds the answers; form_summary draws them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any

from rich.console import Console

from tfm.core import registry
from tfm.core.errors import SettingsError, TFMError
from tfm.core.events import Event
from tfm.core.runs.command_settings import find_preset
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField
from tfm.core.settings.schema import Settings
from tfm.ui import form_summary, preview
from tfm.ui.command_line import FilledForm
from tfm.ui.field_prompts import build_question, format_name, format_value
from tfm.ui.form_state import FormState
from tfm.ui.prompts import Asker, Back, Choice, PlainAsker, Question
from tfm.ui.saved_answers import SavedAnswers
from tfm.ui.spelling import spell

_ACTION = "what_now"


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
        self.look_events: list[preview.ShownEvent] = []
        self.look_values: dict[str, Any] | None = None
        self.look_error: TFMError | None = None
        self.fields_for_look: tuple[str, ...] = ()
        self.preview_events: list[preview.ShownEvent] = []
        self.previewed_settings: list[Settings] = []

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
        self._confirm()
        return self.state.filled_form

    def _load_answers(self) -> None:
        self.state.load_answers(self.answers.load(self.state.stage, self.state.presets))

    def ask_all(self) -> None:
        """Ask one question after the other; Back returns to the previous one."""
        answered: list[str] = []
        while _ACTION not in answered:
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
        """Yield the questions in order, and run the inspection as soon as its settings are answered."""
        if self._has_presets_to_choose():
            yield "preset", self._choose_preset
        if self.state.inspect is not None:
            for field in self._list_look_fields():
                yield field.name, partial(self._ask, field)
            self._look()
        for field in self.state.important:
            if field.name not in self.state.inspection.fixed and self.state.is_worth_asking(field):
                yield field.name, partial(self._ask, field)
        yield _ACTION, self._confirm

    def _list_look_fields(self) -> list[SettingField]:
        required = [field for field in self.state.important if field.is_required]
        named = [field for field in self.state.fields if field.name in self.fields_for_look]
        return required + [field for field in named if not field.is_required]

    def _reopen_questions(self, answered: list[str], error: TFMError) -> list[str]:
        """Ask again the settings that a failed inspection names; raise its error if it names none that is asked."""
        if self.state.inspect is None:
            raise error
        self.look_error, self.fields_for_look = error, _get_fields(error)
        before = [field.name for field in self._list_look_fields()]
        again = [name for name in before if name in (_get_fields(error) or before)]
        if not again:
            raise error
        return list(takewhile(lambda name: name not in again, answered))

    def _has_presets_to_choose(self) -> bool:
        """False if the default preset is the only one."""
        stage = registry.find_command(self.state.stage)
        if not isinstance(stage, registry.Stage) or stage.presets is None:
            return False
        return self.workspace.list_presets(stage.presets, stage.default_preset) != [stage.default_preset]

    def _choose_preset(self) -> None:
        stage = registry.find_command(self.state.stage)
        assert isinstance(stage, registry.Stage)
        assert stage.presets is not None
        names = self.workspace.list_presets(stage.presets, stage.default_preset)
        choices, explanation = self._list_preset_choices(names)
        several = stage.default_preset is None
        self._redraw()
        presets = self.state.presets
        answer = self.asker.ask(
            Question(
                name="preset",
                text="Which models? (several make a queue)" if several else "Which preset?",
                why=explanation,
                choices=choices,
                several=several,
                default=list(presets) if several else (presets or (stage.default_preset,))[0],
            )
        )
        self.state.presets = tuple(answer) if several else (answer,)
        self._load_answers()

    def _list_preset_choices(self, names: list[str]) -> tuple[list[Choice], str]:
        """The presets as choices, and their descriptions. A broken preset of the user is disabled, with the reason."""
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
        return choices, "\n\n".join(descriptions)

    def _look(self) -> None:
        """Run the inspection again if one of its settings has changed, or if it failed."""
        inspect = self.state.inspect
        if inspect is None:
            return
        given = self.state.collect_inspection_values()
        if given == self.look_values:
            return
        self.look_values, self.look_error, self.look_events = None, None, []
        self.state.apply_inspection(registry.InspectionResult())
        self._redraw()
        result = self._watch(registry.stream_events(inspect, given, self.workspace))
        self.look_values, self.look_events = given, result.shown
        self.state.apply_inspection(result.inspection)

    def _preview(self, resolved: list[Settings]) -> None:
        if self.state.preview is None or resolved == self.previewed_settings:
            return
        self.previewed_settings = []
        self._redraw()
        self.preview_events = self._watch(_preview_each(self.state.preview, resolved, self.workspace)).shown
        self.previewed_settings = resolved

    def _watch(self, events: Iterator[Event | registry.InspectionResult]) -> preview.PreviewResult:
        return preview.watch_preview(events, self.console, moving=not isinstance(self.asker, PlainAsker))

    def _confirm(self) -> None:
        """Show the summary until the person chooses Start."""
        while True:
            problem, fields = self._find_problem()
            self._redraw()
            if problem is None:
                form_summary.print_summary(self.state, self.console)
                preview.print_events(self.preview_events, self.console)
            else:
                form_summary.print_problem(problem, self.console)
            trial = self.state.trial if problem is None else None
            choices = self._list_actions(problem is None, fields, trial)
            match self.asker.ask(Question(name=_ACTION, text="What now?", choices=choices)):
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

    def _list_actions(self, can_start: bool, fields: tuple[str, ...], trial: FilledForm | None) -> list[Choice]:
        actions = [
            Choice("start", "Start") if can_start else None,
            Choice("mend", "Answer again") if fields else None,
            Choice("trial", "Try it on a few images first") if trial else None,
            Choice("change", "Change a setting …"),
            Choice("reset", "Reset to the defaults") if self.state.answers else None,
        ]
        return [action for action in actions if action is not None]

    def _find_problem(self) -> tuple[TFMError | None, tuple[str, ...]]:
        """Why the run cannot start, and the settings to change."""
        look_fields = tuple(field.name for field in self._list_look_fields())
        try:
            self._look()
        except TFMError as error:
            return error, _get_fields(error) or look_fields
        try:
            resolved = self.state.resolve()
            self.state.check_offered(resolved)
            self.state.list_queue()
            self._preview(resolved)
        except TFMError as error:
            return error, _get_fields(error)
        return None, ()

    def _ask(self, field: SettingField) -> None:
        self._redraw()
        question = build_question(field, self.state.get_value(field), self.workspace)
        self.state.answer(field, self.asker.ask(self._restrict_choices(question)))

    def _restrict_choices(self, question: Question) -> Question:
        """Disable the choices that the inspection does not allow, with the reason."""
        if question.name not in self.state.inspection.choices:
            return question
        why = self.state.explain_offer(question.name)
        choices = [
            one if self.state.is_offered(question.name, one.value) else replace(one, disabled=spell(why))
            for one in question.choices
        ]
        default = self.state.choose_offered(question.name, question.default, question.several)
        return replace(question, choices=choices, default=default)

    def _change_one(self) -> None:
        changeable = {choice.value: (field, choice) for field, choice in self._list_changeable()}
        choices = [choice for _, choice in changeable.values()]
        self._redraw()
        with contextlib.suppress(Back):
            name = self.asker.ask(Question(name="setting", text="Which setting?", choices=choices))
            self._ask(changeable[name][0])

    def _list_changeable(self) -> list[tuple[SettingField, Choice]]:
        """Every setting that has an effect, and the settings of the parts that are on, such as resize.height."""
        changeable = []
        ineffective = self.state.ineffective
        for field in self.state.fields:
            section = field.name if field.parts else field.group
            for one in (field, *self.state.list_part_fields(field)):
                if one.name not in ineffective:
                    title = f"{format_name(one.name)}: {self._describe_value(one)}"
                    changeable.append((one, Choice(one.name, title, spell(one.question), section=section)))
        return changeable

    def _describe_value(self, field: SettingField) -> str:
        value = self.state.get_value(field)
        return f"{sum(on is True for on in value.values())} of {len(value)} on" if field.parts else format_value(value)

    def _redraw(self) -> None:
        """Clear the screen, so that old questions do not remain beside new ones."""
        self.console.clear()
        form_summary.print_header(self.state, self.console)
        preview.print_events(self.look_events, self.console)
        if self.look_error is not None:
            form_summary.print_problem(self.look_error, self.console)


def _preview_each(
    preview: str, resolved: list[Settings], workspace: Workspace
) -> Iterator[Event | registry.InspectionResult]:
    for settings in resolved:
        yield from registry.stream_events(preview, settings, workspace)


def _get_fields(error: TFMError) -> tuple[str, ...]:
    return error.fields if isinstance(error, SettingsError) else ()
