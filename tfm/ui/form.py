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
from tfm.ui import form_summary
from tfm.ui import preview as looking
from tfm.ui.command_line import Filled
from tfm.ui.field_prompts import called, question_for, shown
from tfm.ui.form_state import Draft
from tfm.ui.prompts import Asker, Back, Choice, PlainAsker, Question
from tfm.ui.saved_answers import Answers
from tfm.ui.spelling import spell

_LAST = "what_now"


class Form:
    """`start` runs what a filled form says and shows it: here only a stage's trial, the form's own is the caller's."""

    def __init__(
        self, stage: str, workspace: Workspace, asker: Asker, console: Console, start: Callable[[Filled], None]
    ) -> None:
        self.workspace = workspace
        self.start = start
        self.asker = asker
        self.console = console
        self.draft = Draft(stage, workspace)
        self.answers = Answers(workspace.answers_file)
        self.found: list[looking.Shown] = []
        self.looked_at: dict[str, Any] | None = None
        self.refused: TFMError | None = None
        self.asked_for_look: tuple[str, ...] = ()
        self.previewed: list[looking.Shown] = []
        self.preview_of: list[Settings] = []

    def fill(self) -> Filled:
        """Ask until the person starts it. Raises Back from before the first question, ToMenu at any."""
        self._recall()
        try:
            self._walk()
        finally:
            self.answers.keep(self.draft.stage, self.draft.presets, self.draft.answers)
        return self.draft.filled

    def confirm(self, filled: Filled) -> Filled:
        """Of what is filled in already only the last question is asked. Raises Back and ToMenu."""
        self.draft.presets, self.draft.answers = filled.presets, dict(filled.given)
        self._confirm()
        return self.draft.filled

    def _recall(self) -> None:
        self.draft.recall(self.answers.of(self.draft.stage, self.draft.presets))

    def _walk(self) -> None:
        """One after the other; Back is one question back, and out of the first."""
        answered: list[str] = []
        while _LAST not in answered:
            try:
                name, ask = next(question for question in self._questions() if question[0] not in answered)
            except TFMError as error:  # between questions only a look is at work
                answered = self._without_refused(answered, error)
                continue
            try:
                ask()
                answered.append(name)
            except Back:
                if not answered:
                    raise
                answered.pop()

    def _questions(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """In their order. Who takes the next one looks, where all that a look needs lies behind."""
        if self._has_presets_to_choose:
            yield "preset", self._choose_preset
        important = self.draft.important
        if self.draft.look is not None:
            for field in self._before_look():
                yield field.name, partial(self._ask, field)
            self._look()
        for field in important:
            if field.name not in self.draft.outlook.settled and self.draft.is_worth_asking(field):
                yield field.name, partial(self._ask, field)
        yield _LAST, self._confirm

    def _before_look(self) -> list[SettingField]:
        required = [field for field in self.draft.important if field.is_required]
        return required + [
            field for field in self.draft.fields if field.name in self.asked_for_look and not field.is_required
        ]

    def _without_refused(self, answered: list[str], refused: TFMError) -> list[str]:
        """What a look refused is asked for again, or what it says it lacks; what no question mends is told."""
        if self.draft.look is None:
            raise refused
        self.refused, self.asked_for_look = refused, _fields(refused)
        before = [field.name for field in self._before_look()]
        again = [name for name in before if name in (_fields(refused) or before)]
        if not again:
            raise refused
        return list(takewhile(lambda name: name not in again, answered))

    # --- presets ------------------------------------------------------------------------------------------------------

    @property
    def _has_presets_to_choose(self) -> bool:
        """One default that is the only one needs no question."""
        stage = registry.find(self.draft.stage)
        if not isinstance(stage, registry.Stage) or stage.presets is None:
            return False
        return self.workspace.list_presets(stage.presets, stage.default_preset) != [stage.default_preset]

    def _choose_preset(self) -> None:
        stage = registry.find(self.draft.stage)
        assert isinstance(stage, registry.Stage)
        assert stage.presets is not None
        names = self.workspace.list_presets(stage.presets, stage.default_preset)
        choices, explained = self._preset_choices(names)
        several = stage.default_preset is None
        self._redraw()
        presets = self.draft.presets
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
        self.draft.presets = tuple(answer) if several else (answer,)
        self._recall()

    def _preset_choices(self, names: list[str]) -> tuple[list[Choice], str]:
        """A preset of one's own that is broken is grey and says why; the others stay at hand."""
        choices, explained = [], []
        for name in names:
            try:
                found = find_preset(self.workspace, self.draft.stage, name)
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
        look = self.draft.look
        if look is None:
            return
        given = self.draft.for_look()
        if given == self.looked_at:
            return
        self.looked_at, self.refused, self.found = None, None, []
        self.draft.take(registry.Outlook())
        self._redraw()
        seen = self._watched(look(given, self.workspace))
        self.looked_at, self.found = given, seen.shown
        self.draft.take(seen.outlook)

    def _preview(self, resolved: list[Settings]) -> None:
        preview = self.draft.preview
        if preview is None or resolved == self.preview_of:
            return
        self.preview_of = []
        self._redraw()
        self.previewed = self._watched(_one_after_the_other(preview, resolved, self.workspace)).shown
        self.preview_of = resolved

    def _watched(self, events: Iterator[Event | registry.Outlook]) -> looking.Seen:
        return looking.watched(events, self.console, moving=not isinstance(self.asker, PlainAsker))

    # --- settings -----------------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        """The last question: start it as it stands, or change something first."""
        while True:
            trouble, fields = self._trouble()
            self._redraw()
            if trouble is None:
                form_summary.will_run(self.draft, self.console)
                looking.show(self.previewed, self.console)
            else:
                form_summary.not_yet(trouble, self.console)
            trial = self.draft.trial if trouble is None else None
            choices = self._what_can_be_done(trouble is None, fields, trial)
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
                    self.draft.reset()

    def _what_can_be_done(self, can_start: bool, fields: tuple[str, ...], trial: Filled | None) -> list[Choice]:
        found = [
            Choice("start", "Start") if can_start else None,
            Choice("mend", "Answer again") if fields else None,
            Choice("trial", "See it on a few images first") if trial else None,
            Choice("change", "Change a setting …"),
            Choice("reset", "Take the defaults again") if self.draft.answers else None,
        ]
        return [choice for choice in found if choice is not None]

    def _ask_again(self, fields: tuple[str, ...]) -> None:
        for field in self.draft.fields:
            if field.name in fields:
                self._ask(field)

    def _trouble(self) -> tuple[TFMError | None, tuple[str, ...]]:
        """Why it cannot start as it stands, and the settings that this is about."""
        looked_at = tuple(field.name for field in self._before_look())
        try:
            self._look()
        except TFMError as error:
            return error, _fields(error) or looked_at
        try:
            resolved = self.draft.resolved()
            self.draft.check_offered(resolved)
            self.draft.queue()
            self._preview(resolved)
        except TFMError as error:
            return error, _fields(error)
        return None, ()

    def _ask(self, field: SettingField) -> None:
        self._redraw()
        question = question_for(field, self.draft.current(field), self.workspace)
        self.draft.answer(field, self.asker.ask(self._narrowed(question)))

    def _narrowed(self, question: Question) -> Question:
        """What the look does not offer is grey, says why, and is no default."""
        if question.name not in self.draft.outlook.offered:
            return question
        why = self.draft.why_not_offered(question.name)
        choices = [
            one if self.draft.is_offered(question.name, one.value) else replace(one, disabled=spell(why))
            for one in question.choices
        ]
        default = self.draft.offered_instead(question.name, question.default, question.several)
        return replace(question, choices=choices, default=default)

    def _change_one(self) -> None:
        changeable = self._changeable()
        choices = [choice for _, choice in changeable]
        try:
            self._redraw()
            name = self.asker.ask(Question(name="setting", text="Which setting?", choices=choices))
            self._ask(next(field for field, choice in changeable if choice.value == name))
        except Back:
            return

    def _changeable(self) -> list[tuple[SettingField, Choice]]:
        """Every setting that has an effect; of a mapping, what may be set of the parts that are on: resize.height."""
        found = []
        idle = self.draft.idle
        for field in self.draft.fields:
            section = field.name if field.parts else field.group
            for one in (each for each in (field, *self.draft.values_on(field)) if each.name not in idle):
                words = f"{called(one.name)}: {self._current_in_words(one)}"
                found.append((one, Choice(one.name, words, spell(one.question), section=section)))
        return found

    def _current_in_words(self, field: SettingField) -> str:
        current = self.draft.current(field)
        if not field.parts:
            return shown(current)
        return f"{sum(on is True for on in current.values())} of {len(current)} on"

    def _redraw(self) -> None:
        """The form anew: old questions never stay on the screen beside new ones."""
        self.console.clear()
        form_summary.head(self.draft, self.console)
        looking.show(self.found, self.console)
        if self.refused is not None:
            form_summary.not_yet(self.refused, self.console)


def _one_after_the_other(
    preview: registry.Preview, resolved: list[Settings], workspace: Workspace
) -> Iterator[Event | registry.Outlook]:
    for settings in resolved:
        yield from preview(settings, workspace)


def _fields(error: TFMError) -> tuple[str, ...]:
    return error.fields if isinstance(error, SettingsError) else ()
