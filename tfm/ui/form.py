"""Fill a form: ask what has no good default, then show everything else on one screen, where each line can be changed.

A setting's own type checks its answer. form_state holds the answers; form_review builds the screen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any

from rich.console import Console, RenderableType

from tfm.core import registry
from tfm.core.errors import SettingsError, TFMError
from tfm.core.runs.doubts import Doubt
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField
from tfm.ui import form_review, review_costs, watch_preview
from tfm.ui.equivalent_command_line import FilledForm, write_command
from tfm.ui.field_prompts import WEIGHTS_FILE, build_file_question, build_place_question, build_question
from tfm.ui.form_inspection import FormInspection
from tfm.ui.form_state import FormState
from tfm.ui.inspected_choices import check_offered, disable_excluded
from tfm.ui.prompts import Asker, Back, Choice, Leaving, Pressed, Question, wait_for_enter
from tfm.ui.saved_answers import SavedAnswers
from tfm.ui.screens.choose_models import ModelChooser
from tfm.ui.spell_references import spell

_REVIEW = "review"


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
        self.loaded_answers: dict[str, Any] = {}
        self.inspection = FormInspection(workspace, console, moving=not asker.is_plain)
        self.fields_to_inspect: tuple[str, ...] = ()
        self.known: set[str] = set()  # what needs no question, because the caller said it

    def fill(self, suggested: FilledForm | None = None) -> FilledForm:
        """Ask until the person chooses Start. Raises Back at the first question, and ToMenu.

        What is suggested needs no question. Suggested presets make it one particular job, to which last time's answers
        do not belong.
        """
        if suggested:
            self.state = FormState(suggested.stage, self.workspace, suggested.presets, suggested.given, on=suggested.on)
            self.known = {*suggested.given, *(["preset"] if suggested.presets else [])}
            if suggested.presets:
                self.ask_all()
                return self.state.filled_form
        self._load_answers()
        try:
            self.ask_all()
        finally:
            self.answers.save(self.state.stage, self.state.presets, self.state.answers)
        return self.state.filled_form

    def _load_answers(self) -> None:
        """Take last time's answers for these presets. What was answered in this form stays."""
        said = {name: value for name, value in self.state.answers.items() if self.loaded_answers.get(name) != value}
        self.loaded_answers = self.answers.load(self.state.stage, self.state.presets)
        self.state.load_answers(self.loaded_answers | said)

    def ask_all(self) -> None:
        """Ask one question after the other; Back returns to the previous one."""
        answered: list[str] = []
        while _REVIEW not in answered:
            try:
                name, ask = next(
                    question for question in self._list_questions() if question[0] not in {*answered, *self.known}
                )
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
        if isinstance(stage, registry.Stage) and stage.presets and stage.default_preset is None:
            yield "preset", self._choose_preset
        for field in self._list_asked_fields():
            yield field.name, partial(self._ask, field)
        if self.state.inspection_path:
            self.inspection.update(self.state)
        yield _REVIEW, self._review

    def _list_asked_fields(self) -> list[SettingField]:
        """The settings that are required and have no good default, and those that a failed inspection asks for."""
        asked = [field for field in self.state.fields if self.state.needs_answer(field)]
        named = [field for field in self.state.fields if field.name in self.fields_to_inspect]
        return asked + [field for field in named if field not in asked]

    def _reopen_questions(self, answered: list[str], error: TFMError) -> list[str]:
        """Ask again the settings that a failed inspection names; raise its error if it names none that is asked."""
        if not self.state.inspection_path:
            raise error
        self.fields_to_inspect = _get_fields(error)
        before = [field.name for field in self._list_asked_fields()]
        again = [name for name in before if name in (_get_fields(error) or before)]
        if not again:
            raise error
        self.known -= {*again}
        return list(takewhile(lambda name: name not in again, answered))

    def _choose_preset(self) -> None:
        """Ask for one preset, or for several models. The user's broken presets are disabled."""
        stage = registry.find_command(self.state.stage)
        assert isinstance(stage, registry.Stage)
        assert stage.presets is not None
        if stage.default_preset is None:
            self._choose_models()
            return
        choices = []
        for name in self.workspace.list_presets(stage.presets, stage.default_preset):
            try:
                found = find_preset(self.workspace, self.state.stage, name)
                assert found is not None
                choices.append(Choice(name, name, spell(found.title), card=spell(found.about)))
            except SettingsError as error:
                choices.append(Choice(name, name, disabled=spell(error.message)))
        before = (self.state.presets or (stage.default_preset,))[0]
        why = "The settings that it brings can be changed on the next screen."
        head = self._draw_head(len(choices))
        question = Question("preset", "Which preset?", why, choices, default=before, head=head)
        self.state.presets = (self.asker.ask(question),)
        self._load_answers()

    def _choose_models(self) -> None:
        """The marked models are kept, however a person leaves the question."""
        chooser = ModelChooser(self.workspace, self.state.find_inputs())
        marked: Sequence[str] = self.state.presets or self.answers.load_models(self.state.stage)
        try:
            marked = self.asker.ask(chooser.ask_several(marked))
        except Leaving as leaving:
            marked = leaving.marked or marked
            raise
        finally:
            self.answers.save_models(self.state.stage, marked)
        self.state.presets = tuple(marked)
        self._load_answers()

    def _review(self) -> None:
        """Show the review until the person chooses Start. The cursor stays on the row that was chosen last."""
        row: Any = "start"
        while True:
            problem, fields = self._find_problem()
            question = form_review.build_review(self.state, problem, fields, has_details=bool(self.inspection.events))
            if not problem and not self.asker.is_plain and any(row == choice.value for choice in question.choices):
                question = replace(question, default=row)
            doubts = [] if problem else self._list_doubts()
            question = replace(question, head=self._draw_head(len(question.choices), problem, doubts))
            answer = self.asker.ask(question if problem else self._add_costs(question))
            if answer == "start" and self._is_meant():
                return
            row = answer.value if isinstance(answer, Pressed) else answer
            with contextlib.suppress(Back):
                self._act(answer)

    def _act(self, answer: Any) -> None:
        """Do what a row or a key of the review says."""
        match answer:
            case "start":
                pass
            case "command":
                self._show(write_command(self.state.filled_form, self.workspace))
            case "trial":
                assert self.state.trial is not None
                self.start(self.state.trial)
            case "change":
                self._change_one()
            case "preset":
                self._choose_preset()
            case "place":
                self._ask_place()
            case Pressed(key="r"):
                self.state.reset()
            case Pressed(key="d"):
                self._show_events()
            case name:
                self._ask(self.state.list_changeable()[name])

    def _list_doubts(self) -> list[Doubt]:
        return review_costs.list_doubts(self.workspace, self.state.filled_form)

    def _is_meant(self) -> bool:
        """Ask again before a start that can hardly be meant."""
        doubts = [doubt for doubt in self._list_doubts() if doubt.is_certain]
        with contextlib.suppress(Back):
            return not doubts or bool(self.asker.ask(review_costs.ask_whether_meant(doubts)))
        return False

    def _add_costs(self, question: Question) -> Question:
        """Show the costs beside the question, and measure more of them while a person looks at it."""
        filled = self.state.filled_form

        def build() -> Question:
            return replace(question, aside=review_costs.describe_costs(self.workspace, filled), refresh=refresh)

        def refresh() -> Question:
            review_costs.measure_costs(self.workspace, filled)
            return build()

        return build()

    def _find_problem(self) -> tuple[TFMError | None, tuple[str, ...]]:
        """Why the run cannot start, and the settings to change."""
        try:
            self.inspection.update(self.state)
        except TFMError as error:
            return error, _get_fields(error) or tuple(field.name for field in self._list_asked_fields())
        try:
            resolved = self.state.resolve()
            check_offered(self.state.inspection, resolved)
            self.state.list_queue()
            self.inspection.preview(self.state, resolved)
        except TFMError as error:
            return error, _get_fields(error)
        return None, ()

    def _ask(self, field: SettingField) -> None:
        """Ask for a setting. Choices that the inspection excludes are disabled, with the reason."""
        state = self.state
        question = build_question(field, state.get_value(field), self.workspace, state.list_preset_values(field))
        if field.input and field.input.kind == "model":
            chooser = ModelChooser(self.workspace, state.find_inputs())
            question = chooser.ask_one(question, field.input.made_by)
        question = disable_excluded(state.inspection, question)
        answer = self.asker.ask(replace(question, head=self._draw_head(len(question.choices))))
        if answer == WEIGHTS_FILE:
            answer = self.asker.ask(build_file_question(field))
        state.answer(field, answer)

    def _ask_place(self) -> None:
        self.state.on = self.asker.ask(build_place_question(self.workspace, self.state.on))

    def _change_one(self) -> None:
        """Offer every setting that has an effect, and the settings of the parts that are on, such as resize.height.

        Back from a setting leads to the list again.
        """
        name = None
        while True:
            changeable = self.state.list_changeable()
            name = self.asker.ask(form_review.build_settings_question(self.state, changeable, name))
            with contextlib.suppress(Back):
                self._ask(changeable[name])
                return

    def _draw_head(self, rows: int, problem: TFMError | None = None, doubts: Sequence[Doubt] = ()) -> RenderableType:
        """What stands above a question with so many rows: what is wrong, or else what is unusual and was found."""
        problem = problem or self.inspection.error
        if problem:
            return form_review.draw_problem(problem)
        moves = self.console.is_terminal and not self.asker.is_plain
        room = self.console.height - form_review.count_lines(rows) if moves else None
        events = [*review_costs.describe_doubts(doubts), *self.inspection.events]
        return form_review.draw_events(events, self.console, room)

    def _show(self, text: str) -> None:
        """Show a text in one piece, so that it can be copied."""
        self.console.clear()
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)
        wait_for_enter(self.asker)

    def _show_events(self) -> None:
        self.console.clear()
        watch_preview.print_events(self.inspection.events, self.console)
        wait_for_enter(self.asker)


def _get_fields(error: TFMError) -> tuple[str, ...]:
    return error.fields if isinstance(error, SettingsError) else ()
