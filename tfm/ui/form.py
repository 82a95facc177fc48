"""Settings → questions: the important ones first, the rest behind "advanced". The settings' own types are the checks;
nothing is decided here that a command would not decide the same way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tfm.core import offers, registry
from tfm.core.answers import Answers
from tfm.core.errors import SettingsError
from tfm.core.prepare import chosen_preset, resolved_settings
from tfm.core.settings import Leaf, Settings, leaves, nested, value_at, yaml_value
from tfm.core.workspace import Workspace
from tfm.ui.ask import Asker, Back, Choice, Question
from tfm.ui.command_line import Filled, command_line, flat
from tfm.ui.questions import EACH_ITS_OWN, as_text, plain, question_for, shown


@dataclass
class Form:
    stage: str
    workspace: Workspace
    asker: Asker
    console: Console
    presets: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)

    def fill(self) -> Filled:
        """Ask until the person starts it. Raises Back from before the first question, ToMenu at any."""
        self._recall()
        questions: list[Callable[[], None]] = [self._choose_preset] if self._has_presets_to_choose else []
        questions += [partial(self._ask, leaf) for leaf in self._important()]
        try:
            _walk([*questions, self._confirm])
        finally:
            self._answers.keep(self.stage, self.presets, self.given)
        return Filled(self.stage, self.presets, self.given)

    def _recall(self) -> None:
        """Last time's answers, without those that no setting knows any more."""
        self.given = {}
        for name, value in self._answers.of(self.stage, self.presets).items():
            with contextlib.suppress(SettingsError):
                nested(self._settings_class, {name: value})
                self.given[name] = value

    # --- presets ------------------------------------------------------------------------------------------------------

    @property
    def _answers(self) -> Answers:
        return Answers(self.workspace.answers_file)

    @property
    def _stage(self) -> registry.Stage | registry.Planner | registry.Answer:
        return registry.find(self.stage)

    @property
    def _preset_folder(self) -> str | None:
        return self._stage.presets if isinstance(self._stage, registry.Stage) else None

    @property
    def _has_presets_to_choose(self) -> bool:
        """One default that is the only one needs no question."""
        stage, folder = self._stage, self._preset_folder
        if folder is None or not isinstance(stage, registry.Stage):
            return False
        return self.workspace.preset_names(folder) != [stage.default_preset]

    def _choose_preset(self) -> None:
        stage, folder = self._stage, self._preset_folder
        assert isinstance(stage, registry.Stage)
        assert folder is not None
        choices, explained = self._preset_choices(folder)
        several = stage.default_preset is None
        self._redraw()
        answer = self.asker.ask(
            Question(
                name="preset",
                text="Which ones? (several make a queue)" if several else "Which preset?",
                why=explained,
                choices=choices,
                several=several,
                default=list(self.presets) if several else (self.presets or (stage.default_preset,))[0],
            )
        )
        self.presets = tuple(answer) if several else (answer,)
        self._recall()

    def _preset_choices(self, folder: str) -> tuple[list[Choice], str]:
        """A preset of one's own that is broken is grey and says why; the others stay at hand."""
        choices, explained = [], []
        for name in self.workspace.preset_names(folder):
            try:
                found = self.workspace.preset(folder, name)
            except SettingsError as error:
                choices.append(Choice(name, name, disabled=error.message))
                continue
            choices.append(Choice(name, name, found.title))
            explained.append(f"{name}: {found.title}\n{found.about}")
        return choices, "\n\n".join(explained)

    # --- settings -----------------------------------------------------------------------------------------------------

    @property
    def _settings_class(self) -> type[Settings]:
        return self._stage.settings

    def _chosen_presets(self) -> list[offers.Preset | None]:
        return [chosen_preset(self.workspace, self.stage, name) for name in self.presets or (None,)]

    def _important(self) -> list[Leaf]:
        """One dataset or cache that is the only one is meant: no question; the values of a mapping are changed one by
        one, behind "Change a setting"."""
        found = [leaf for leaf in leaves(self._settings_class) if leaf.important and not leaf.is_mapping]
        return [leaf for leaf in found if not (leaf.required and self._is_only_choice(leaf))]

    def _is_only_choice(self, leaf: Leaf) -> bool:
        kind = leaf.reads.kind if leaf.reads else ""
        return kind in ("dataset", "cache") and len(self.workspace.products(kind)) == 1

    def _confirm(self) -> None:
        """The last question: start it as it stands, or change something first."""
        while True:
            self._redraw()
            trouble = self._trouble()
            if trouble is None:
                self._show_summary()
                choices = [Choice("start", "Start")]
            else:
                self.console.print(
                    Panel(Text(f"{trouble.message}\n\n{trouble.hint}"), title="not yet", border_style="yellow")
                )
                choices = [Choice("mend", "Answer again")] if trouble.fields else []
            choices.append(Choice("change", "Change a setting …"))
            if self.given:
                choices.append(Choice("reset", "Take the defaults again"))
            match self.asker.ask(Question(name="what_now", text="What now?", choices=choices)):
                case "start":
                    return
                case "change":
                    self._change_one()
                case "reset":
                    self.given = {name: value for name, value in self.given.items() if self._is_required(name)}
                case "mend":
                    assert trouble is not None
                    for leaf in leaves(self._settings_class):
                        if leaf.name in trouble.fields:
                            self._ask(leaf)

    def _is_required(self, name: str) -> bool:
        return any(leaf.required and leaf.name == name for leaf in leaves(self._settings_class))

    def _ask(self, leaf: Leaf) -> None:
        self._redraw()
        value = self.asker.ask(question_for(leaf, self._current(leaf), self.workspace))
        if value == self._unchanged(leaf):
            self.given.pop(leaf.name, None)
        else:
            self.given[leaf.name] = plain(value)

    def _change_one(self) -> None:
        try:
            self._redraw()
            name = self.asker.ask(Question(name="setting", text="Which setting?", choices=self._changeable()))
            leaf = next((leaf for leaf in leaves(self._settings_class) if leaf.name == name), None)
            if leaf is not None:
                self._ask(leaf)
            else:
                self._ask_within(name)
        except Back:
            return

    def _changeable(self) -> list[Choice]:
        """Every setting by its name; of a mapping, each value it holds, as in resize.height."""
        found = []
        for leaf in leaves(self._settings_class):
            if leaf.is_mapping:
                for path, value in self._within(leaf).items():
                    if not isinstance(value, Mapping):  # a step without settings has none to change
                        found.append(Choice(path, f"{path}: {shown(value)}", section=leaf.name))
            else:
                words = f"{leaf.name.replace('_', ' ')}: {shown(self._current(leaf))}"
                found.append(Choice(leaf.name, words, leaf.question, section=leaf.group))
        return found

    def _within(self, leaf: Leaf) -> dict[str, Any]:
        unchanged = dict(flat(self._unchanged(leaf) or {}))
        return {path: self.given.get(path, value) for path, value in unchanged.items()}

    def _ask_within(self, path: str) -> None:
        mapping = next(leaf for leaf in leaves(self._settings_class) if leaf.is_mapping)
        self._redraw()
        held = self._within(mapping)[path]
        words = path.replace(".", ": ")
        self.given[path] = self.asker.ask(Question(name=path, text=words, default=as_text(held), check=yaml_value))

    def _unchanged(self, leaf: Leaf) -> Any:
        """What holds where nothing is given; of several presets, only what is the same for all."""
        values = [_value_in(preset, self._settings_class, leaf) for preset in self._chosen_presets()]
        return values[0] if all(value == values[0] for value in values) else EACH_ITS_OWN

    def _current(self, leaf: Leaf) -> Any:
        return self.given.get(leaf.name, self._unchanged(leaf))

    def _resolved(self, leaf: Leaf) -> Any:
        """As it will run, with what goes without saying; one value for all presets, or the word for several."""
        resolved = [
            value_at(resolved_settings(self.workspace, self.stage, self.given, preset), leaf)
            for preset in self._chosen_presets()
        ]
        return resolved[0] if all(value == resolved[0] for value in resolved) else EACH_ITS_OWN

    def _trouble(self) -> SettingsError | None:
        try:
            for preset in self._chosen_presets():
                resolved_settings(self.workspace, self.stage, self.given, preset)
        except SettingsError as error:
            return error
        return None

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _redraw(self) -> None:
        """The form anew: old questions never stay on the screen beside new ones."""
        self.console.clear()
        self.console.print(Panel(offers.summary(self.stage), title=self.stage, border_style="cyan"))
        answered = {"preset": ", ".join(self.presets)} if self.presets else {}
        answered |= {name: shown(value) for name, value in self.given.items()}
        for name, value in answered.items():
            self.console.print(Text(f"  {name.replace('_', ' ')}: ").append(value, style="cyan"))

    def _show_summary(self) -> None:
        table = Table(box=None, show_header=False, padding=(0, 2))
        for leaf in leaves(self._settings_class):
            if leaf.important or leaf.name in self.given:
                table.add_row(leaf.question, Text(shown(self._resolved(leaf)), style="cyan"))
        for name in self.given:
            if "." in name:
                table.add_row(name, Text(shown(self.given[name]), style="cyan"))
        self.console.print(Panel(table, title="this will run", border_style="green"))
        self.console.print("The same from a command line:", style="dim")
        words = command_line(Filled(self.stage, self.presets, self.given), self.workspace)
        self.console.print(Text(words), soft_wrap=True)


def _value_in(preset: offers.Preset | None, settings: type[Settings], leaf: Leaf) -> Any:
    value: Any = nested(settings, preset.settings) if preset else {}
    for name in leaf.path:
        if not isinstance(value, Mapping) or name not in value:
            return leaf.default
        value = value[name]
    return value


def _walk(questions: Sequence[Callable[[], None]]) -> None:
    """One after the other; Back is one question back, and out of the first."""
    position = 0
    while position < len(questions):
        try:
            questions[position]()
            position += 1
        except Back:
            position -= 1
            if position < 0:
                raise
