"""Settings → questions: the important ones first, the rest behind "advanced". The settings' own types are the checks;
nothing is decided here that a command would not decide the same way."""

from __future__ import annotations

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

_LAST = "what_now"


class Form:
    """`start` runs what a filled form says and shows it: here only a stage's trial, the form's own is the caller's."""

    def __init__(
        self, stage: str, workspace: Workspace, asker: Asker, console: Console, start: Callable[[FilledForm], None]
    ) -> None:
        self.workspace = workspace
        self.start = start
        self.asker = asker
        self.console = console
        self.state = FormState(stage, workspace)
        self.answers = SavedAnswers(workspace.answers_file)
        self.found: list[preview.ShownEvent] = []
        self.inspected: dict[str, Any] | None = None
        self.look_error: TFMError | None = None
        self.fields_for_look: tuple[str, ...] = ()
        self.preview_events: list[preview.ShownEvent] = []
        self.previewed_settings: list[Settings] = []

    def fill(self) -> FilledForm:
        """Ask until the person starts it. Raises Back from before the first question, ToMenu at any."""
        self._load_answers()
        try:
            self.ask_all()
        finally:
            self.answers.save(self.state.stage, self.state.presets, self.state.answers)
        return self.state.filled_form

    def confirm(self, filled: FilledForm) -> FilledForm:
        """Of what is filled in already only the last question is asked. Raises Back and ToMenu."""
        self.state.presets, self.state.answers = filled.presets, dict(filled.given)
        self._confirm()
        return self.state.filled_form

    def _load_answers(self) -> None:
        self.state.load_answers(self.answers.load(self.state.stage, self.state.presets))

    def ask_all(self) -> None:
        """One after the other; Back is one question back, and out of the first."""
        answered: list[str] = []
        while _LAST not in answered:
            try:
                name, ask = next(question for question in self._list_questions() if question[0] not in answered)
            except TFMError as error:  # between questions only a look is at work
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
        """In their order. Who takes the next one looks, where all that a look needs lies behind."""
        if self._has_presets_to_choose:
            yield "preset", self._choose_preset
        important = self.state.important
        if self.state.look is not None:
            for field in self._list_look_fields():
                yield field.name, partial(self._ask, field)
            self._look()
        for field in important:
            if field.name not in self.state.outlook.settled and self.state.is_worth_asking(field):
                yield field.name, partial(self._ask, field)
        yield _LAST, self._confirm

    def _list_look_fields(self) -> list[SettingField]:
        required = [field for field in self.state.important if field.is_required]
        return required + [
            field for field in self.state.fields if field.name in self.fields_for_look and not field.is_required
        ]

    def _reopen_questions(self, answered: list[str], refused: TFMError) -> list[str]:
        """What a look refused is asked for again, or what it says it lacks; what no question mends is told."""
        if self.state.look is None:
            raise refused
        self.look_error, self.fields_for_look = refused, _get_fields(refused)
        before = [field.name for field in self._list_look_fields()]
        again = [name for name in before if name in (_get_fields(refused) or before)]
        if not again:
            raise refused
        return list(takewhile(lambda name: name not in again, answered))

    # --- presets ------------------------------------------------------------------------------------------------------

    @property
    def _has_presets_to_choose(self) -> bool:
        """One default that is the only one needs no question."""
        stage = registry.find(self.state.stage)
        if not isinstance(stage, registry.Stage) or stage.presets is None:
            return False
        return self.workspace.list_presets(stage.presets, stage.default_preset) != [stage.default_preset]

    def _choose_preset(self) -> None:
        stage = registry.find(self.state.stage)
        assert isinstance(stage, registry.Stage)
        assert stage.presets is not None
        names = self.workspace.list_presets(stage.presets, stage.default_preset)
        choices, explained = self._list_preset_choices(names)
        several = stage.default_preset is None
        self._redraw()
        presets = self.state.presets
        answer = self.asker.ask(
            Question(
                name="preset",
                text="Which ones? (several make a queue)" if several else "Which preset?",
                why=explained,
                choices=choices,
                several=several,
                default=list(presets) if several else (presets or (stage.default_preset,))[0],
            )
        )
        self.state.presets = tuple(answer) if several else (answer,)
        self._load_answers()

    def _list_preset_choices(self, names: list[str]) -> tuple[list[Choice], str]:
        """A preset of one's own that is broken is grey and says why; the others stay at hand."""
        choices, explained = [], []
        for name in names:
            try:
                found = find_preset(self.workspace, self.state.stage, name)
            except SettingsError as error:
                choices.append(Choice(name, name, disabled=spell(error.message)))
                continue
            assert found is not None
            choices.append(Choice(name, name, spell(found.title)))
            explained.append(spell(f"{name}: {found.title}\n{found.about}"))
        return choices, "\n\n".join(explained)

    # --- looking ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Anew only where an answer that it looks at changed, or was refused."""
        look = self.state.look
        if look is None:
            return
        given = self.state.collect_look_values()
        if given == self.inspected:
            return
        self.inspected, self.look_error, self.found = None, None, []
        self.state.apply_outlook(registry.Outlook())
        self._redraw()
        seen = self._watch_preview(registry.stream(look, given, self.workspace))
        self.inspected, self.found = given, seen.shown
        self.state.apply_outlook(seen.outlook)

    def _preview(self, resolved: list[Settings]) -> None:
        preview = self.state.preview
        if preview is None or resolved == self.previewed_settings:
            return
        self.previewed_settings = []
        self._redraw()
        self.preview_events = self._watch_preview(_preview_each(preview, resolved, self.workspace)).shown
        self.previewed_settings = resolved

    def _watch_preview(self, events: Iterator[Event | registry.Outlook]) -> preview.PreviewResult:
        return preview.watch_preview(events, self.console, moving=not isinstance(self.asker, PlainAsker))

    # --- settings -----------------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        """The last question: start it as it stands, or change something first."""
        while True:
            trouble, fields = self._find_problem()
            self._redraw()
            if trouble is None:
                form_summary.print_summary(self.state, self.console)
                preview.print_events(self.preview_events, self.console)
            else:
                form_summary.print_problem(trouble, self.console)
            trial = self.state.trial if trouble is None else None
            choices = self._list_actions(trouble is None, fields, trial)
            match self.asker.ask(Question(name=_LAST, text="What now?", choices=choices)):
                case "start":
                    return
                case "mend":
                    self._ask_again(fields)
                case "trial" if trial is not None:
                    self.start(trial)
                case "change":
                    self._change_one()
                case "reset":
                    self.state.reset()

    def _list_actions(self, can_start: bool, fields: tuple[str, ...], trial: FilledForm | None) -> list[Choice]:
        found = [
            Choice("start", "Start") if can_start else None,
            Choice("mend", "Answer again") if fields else None,
            Choice("trial", "See it on a few images first") if trial else None,
            Choice("change", "Change a setting …"),
            Choice("reset", "Take the defaults again") if self.state.answers else None,
        ]
        return [choice for choice in found if choice is not None]

    def _ask_again(self, fields: tuple[str, ...]) -> None:
        for field in self.state.fields:
            if field.name in fields:
                self._ask(field)

    def _find_problem(self) -> tuple[TFMError | None, tuple[str, ...]]:
        """Why it cannot start as it stands, and the settings that this is about."""
        looked_at = tuple(field.name for field in self._list_look_fields())
        try:
            self._look()
        except TFMError as error:
            return error, _get_fields(error) or looked_at
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
        """What the look does not offer is grey, says why, and is no default."""
        if question.name not in self.state.outlook.offered:
            return question
        why = self.state.explain_offer(question.name)
        choices = [
            one if self.state.is_offered(question.name, one.value) else replace(one, disabled=spell(why))
            for one in question.choices
        ]
        default = self.state.choose_offered(question.name, question.default, question.several)
        return replace(question, choices=choices, default=default)

    def _change_one(self) -> None:
        changeable = self._list_changeable()
        choices = [choice for _, choice in changeable]
        try:
            self._redraw()
            name = self.asker.ask(Question(name="setting", text="Which setting?", choices=choices))
            self._ask(next(field for field, choice in changeable if choice.value == name))
        except Back:
            return

    def _list_changeable(self) -> list[tuple[SettingField, Choice]]:
        """Every setting that has an effect; of a mapping, what may be set of the parts that are on: resize.height."""
        found = []
        idle = self.state.ineffective
        for field in self.state.fields:
            section = field.name if field.parts else field.group
            for one in (each for each in (field, *self.state.list_part_fields(field)) if each.name not in idle):
                words = f"{format_name(one.name)}: {self._describe_value(one)}"
                found.append((one, Choice(one.name, words, spell(one.question), section=section)))
        return found

    def _describe_value(self, field: SettingField) -> str:
        current = self.state.get_value(field)
        if not field.parts:
            return format_value(current)
        return f"{sum(on is True for on in current.values())} of {len(current)} on"

    def _redraw(self) -> None:
        """The form anew: old questions never stay on the screen beside new ones."""
        self.console.clear()
        form_summary.print_header(self.state, self.console)
        preview.print_events(self.found, self.console)
        if self.look_error is not None:
            form_summary.print_problem(self.look_error, self.console)


def _preview_each(preview: str, resolved: list[Settings], workspace: Workspace) -> Iterator[Event | registry.Outlook]:
    for settings in resolved:
        yield from registry.stream(preview, settings, workspace)


def _get_fields(error: TFMError) -> tuple[str, ...]:
    return error.fields if isinstance(error, SettingsError) else ()
