"""Settings → questions: the important ones first, the rest behind "advanced". The settings' own types are the checks;
nothing is decided here that a command would not decide the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tfm.core import offers, registry
from tfm.core.answers import Answers
from tfm.core.errors import SettingsError
from tfm.core.prepare import chosen_preset, resolved_settings
from tfm.core.reading import readable_runs
from tfm.core.settings import Leaf, Settings, leaves, nested, value_at
from tfm.core.workspace import Workspace
from tfm.ui.ask import Asker, Back, Choice, Question
from tfm.ui.command_line import Filled, command_line, flat


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
        questions: list[Callable[[], None]] = [self._choose_preset] if self._preset_folder else []
        questions += [partial(self._ask, leaf) for leaf in self._important()]
        try:
            _walk([*questions, self._confirm])
        finally:
            self._answers.keep(self.stage, self.presets, self.given)
        return Filled(self.stage, self.presets, self.given)

    def _recall(self) -> None:
        self.given = self._answers.of(self.stage, self.presets)

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

    def _choose_preset(self) -> None:
        stage, folder = self._stage, self._preset_folder
        assert isinstance(stage, registry.Stage)
        assert folder is not None
        found = [self.workspace.preset(folder, name) for name in self.workspace.preset_names(folder)]
        several = stage.default_preset is None
        self._redraw()
        answer = self.asker.ask(
            Question(
                name="preset",
                text="Which ones? (several make a queue)" if several else "Which preset?",
                why="\n\n".join(f"{preset.name}: {preset.title}\n{preset.about}" for preset in found),
                choices=[Choice(preset.name, preset.name, preset.title) for preset in found],
                several=several,
                default=list(self.presets) if several else (self.presets or (stage.default_preset,))[0],
            )
        )
        self.presets = tuple(answer) if several else (answer,)
        self._recall()

    # --- settings -----------------------------------------------------------------------------------------------------

    @property
    def _settings_class(self) -> type[Settings]:
        return self._stage.settings

    @property
    def _below(self) -> dict[str, Any]:
        """What holds where nothing is given: of several presets, only what is the same for all is shown."""
        preset = self._chosen_presets()[0]
        return nested(self._settings_class, preset.settings) if preset else {}

    def _chosen_presets(self) -> list[offers.Preset | None]:
        return [chosen_preset(self.workspace, self.stage, name) for name in self.presets or (None,)]

    def _important(self) -> list[Leaf]:
        """One dataset or cache that is the only one is meant: no question."""
        found = [leaf for leaf in leaves(self._settings_class) if leaf.important]
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
                    Panel(f"{trouble.message}\n\n{trouble.hint}", title="not yet", border_style="yellow")
                )
                choices = [Choice("mend", "Answer again")] if trouble.fields else []
            choices.append(Choice("change", "Change a setting …"))
            match self.asker.ask(Question(name="what_now", text="What now?", choices=choices)):
                case "start":
                    return
                case "change":
                    self._change_one()
                case "mend":
                    assert trouble is not None
                    for leaf in leaves(self._settings_class):
                        if leaf.name in trouble.fields:
                            self._ask(leaf)

    def _ask(self, leaf: Leaf) -> None:
        self._redraw()
        value = self.asker.ask(question_for(leaf, self._current(leaf), self.workspace))
        if value == self._unchanged(leaf):
            self.given.pop(leaf.name, None)
        else:
            self.given[leaf.name] = _plain(value)

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
                    found.append(Choice(path, f"{path}: {_shown(value)}", section=leaf.name))
            else:
                words = f"{leaf.name.replace('_', ' ')}: {_shown(self._current(leaf))}"
                found.append(Choice(leaf.name, words, leaf.question, section=leaf.group))
        return found

    def _within(self, leaf: Leaf) -> dict[str, Any]:
        unchanged = dict(flat(self._unchanged(leaf) or {}))
        return {path: self.given.get(path, value) for path, value in unchanged.items()}

    def _ask_within(self, path: str) -> None:
        mapping = next(leaf for leaf in leaves(self._settings_class) if leaf.is_mapping)
        self._redraw()
        held = self._within(mapping)[path]
        answer = self.asker.ask(Question(name=path, text=path.replace(".", ": "), default=_as_text(held)))
        self.given[path] = yaml.safe_load(answer)

    def _unchanged(self, leaf: Leaf) -> Any:
        value: Any = self._below
        for name in leaf.path:
            if not isinstance(value, Mapping) or name not in value:
                return leaf.default
            value = value[name]
        return value

    def _current(self, leaf: Leaf) -> Any:
        return self.given.get(leaf.name, self._unchanged(leaf))

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
        answered |= {name: _shown(value) for name, value in self.given.items()}
        for name, value in answered.items():
            self.console.print(f"  {name.replace('_', ' ')}: [cyan]{value}[/]", highlight=False)

    def _show_summary(self) -> None:
        settings = resolved_settings(self.workspace, self.stage, self.given, self._chosen_presets()[0])
        table = Table(box=None, show_header=False, padding=(0, 2))
        for leaf in leaves(type(settings)):
            if leaf.important or leaf.name in self.given:
                table.add_row(leaf.question, f"[cyan]{_shown(value_at(settings, leaf))}[/]")
        self.console.print(Panel(table, title="this will run", border_style="green"))
        self.console.print("The same from a command line:", style="dim")
        self.console.print(
            command_line(Filled(self.stage, self.presets, self.given), self.workspace), highlight=False, soft_wrap=True
        )


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


def question_for(leaf: Leaf, default: Any, workspace: Workspace) -> Question:
    why = "\n".join(
        part for part in (leaf.question, leaf.explanation, f"(by name: --{leaf.name.replace('_', '-')})") if part
    )
    choices = _choices(leaf, workspace)
    if choices:
        return Question(
            leaf.name,
            leaf.question,
            why,
            choices,
            several=leaf.is_list,
            optional=not leaf.required,
            default=_plain(default),
        )
    return Question(leaf.name, leaf.question, why, default=_as_text(default), check=leaf.parse, is_path=leaf.is_path)


def _choices(leaf: Leaf, workspace: Workspace) -> list[Choice]:
    if leaf.reads and leaf.reads.kind in ("dataset", "cache"):
        return [Choice(name, name) for name in workspace.products(leaf.reads.kind)]
    if leaf.reads and leaf.reads.kind == "run":
        return [Choice(run.id, run.id) for run in reversed(readable_runs(workspace, leaf))]
    if leaf.is_bool:
        return [Choice(True, "yes"), Choice(False, "no")]
    return [Choice(value, str(value)) for value in leaf.choices]


def _plain(value: Any) -> Any:
    """As YAML and JSON can keep it."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)


def _as_text(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return None if value is None else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(value)
    return _as_text(value) or "—"
