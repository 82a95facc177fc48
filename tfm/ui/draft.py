"""What a form holds while it is filled: the presets, a person's answers, what a look settled; and what follows from
them. Nothing here asks, draws or keeps anything."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfm.core import offers, reading, registry
from tfm.core.errors import SettingsError
from tfm.core.prepare import chosen_preset, resolved_settings
from tfm.core.registry import Outlook
from tfm.core.settings import Leaf, Settings, leaves, nested, value_at
from tfm.core.workspace import Workspace
from tfm.ui.command_line import Filled, flat
from tfm.ui.questions import EACH_ITS_OWN, plain, shown


@dataclass
class Draft:
    """defaults < presets < answers < settled. A settled value holds until the person answers that very setting."""

    stage: str
    workspace: Workspace
    presets: tuple[str, ...] = ()
    answers: dict[str, Any] = field(default_factory=dict)
    outlook: Outlook = field(default_factory=Outlook)
    settled: dict[str, Any] = field(default_factory=dict)

    @property
    def definition(self) -> registry.Stage | registry.Planner | registry.Answer:
        return registry.find(self.stage)

    @property
    def look(self) -> registry.Look | None:
        return self.definition.look if isinstance(self.definition, registry.Stage) else None

    @property
    def preview(self) -> registry.Preview | None:
        return self.definition.preview if isinstance(self.definition, registry.Stage) else None

    @property
    def leaves(self) -> list[Leaf]:
        return leaves(self.definition.settings)

    @property
    def required(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.required]

    @property
    def important(self) -> list[Leaf]:
        """One dataset or cache that is the only one is meant: no question; the values of a mapping are changed one by
        one, behind "Change a setting"."""
        found = [leaf for leaf in self.leaves if leaf.important and not leaf.is_mapping]
        return [leaf for leaf in found if not (leaf.required and self._is_only_choice(leaf))]

    def _is_only_choice(self, leaf: Leaf) -> bool:
        kind = leaf.reads.kind if leaf.reads else ""
        return kind in ("dataset", "cache") and len(self.workspace.products(kind)) == 1

    # --- what is given ------------------------------------------------------------------------------------------------

    def recall(self, answers: Mapping[str, Any]) -> None:
        """Last time's answers, without those that no setting knows any more."""
        self.answers = {}
        for name, value in answers.items():
            with contextlib.suppress(SettingsError):
                nested(self.definition.settings, {name: value})
                self.answers[name] = value

    def take(self, outlook: Outlook) -> None:
        """What it settled holds, and for a default that it does not offer, what it offers instead."""
        self.outlook = outlook
        self.settled = {name: plain(value) for name, value in outlook.settled.items()}
        for leaf in self.leaves:
            if leaf.name in outlook.offered and leaf.name not in self.given:
                default = plain(self.unchanged(leaf))
                instead = self.offered_instead(leaf.name, default, leaf.is_list)
                if instead != default:
                    self.settled[leaf.name] = instead

    def reset(self) -> None:
        required = {leaf.name for leaf in self.required}
        self.answers = {name: value for name, value in self.answers.items() if name in required}
        self.take(self.outlook)

    @property
    def given(self) -> dict[str, Any]:
        return self.answers | self.settled

    @property
    def filled(self) -> Filled:
        return Filled(self.stage, self.presets, self.given)

    def answer(self, name: str, value: Any) -> None:
        """What a person said: what is settled stays so only where they said the same."""
        if name in self.settled and plain(value) == self.settled[name]:
            return
        self.settled.pop(name, None)
        leaf = next((leaf for leaf in self.leaves if leaf.name == name), None)
        if leaf is not None and value == self.unchanged(leaf):
            self.answers.pop(name, None)
        else:
            self.answers[name] = plain(value)

    # --- what follows -------------------------------------------------------------------------------------------------

    @property
    def chosen_presets(self) -> list[offers.Preset | None]:
        return [chosen_preset(self.workspace, self.stage, name) for name in self.presets or (None,)]

    def unchanged(self, leaf: Leaf) -> Any:
        """What holds where nothing is given; of several presets, only what is the same for all."""
        return _one_for_all([_value_in(preset, self.definition.settings, leaf) for preset in self.chosen_presets])

    def current(self, leaf: Leaf) -> Any:
        return self.given.get(leaf.name, self.unchanged(leaf))

    def within(self, leaf: Leaf) -> dict[str, Any]:
        """Each value that a mapping holds, by its path."""
        unchanged = dict(flat(self.unchanged(leaf) or {}))
        return {path: self.given.get(path, value) for path, value in unchanged.items()}

    def resolved(self) -> list[Settings]:
        """As it will run, with what goes without saying; one for each preset."""
        return [resolved_settings(self.workspace, self.stage, self.given, preset) for preset in self.chosen_presets]

    def resolved_values(self, chosen: Sequence[Leaf]) -> list[Any]:
        resolved = self.resolved()
        return [_one_for_all([value_at(settings, leaf) for settings in resolved]) for leaf in chosen]

    def for_look(self) -> dict[str, Any]:
        """What a look looks at, each in its own type: the required settings, and any other that names what is read."""
        answers = reading.meant(self.workspace, self.definition.settings, self.answers)
        values = {}
        for leaf in self.leaves:
            if leaf.required or (leaf.reads and leaf.name in answers):
                try:
                    values[leaf.name] = leaf.parse(answers.get(leaf.name, self.unchanged(leaf)))
                except ValueError as error:
                    raise SettingsError(str(error), hint=leaf.question, fields=(leaf.name,)) from None
        return values

    def check_offered(self, resolved: list[Settings]) -> None:
        """Nothing stands that the look said cannot be: an answer from before it, or a default."""
        for leaf in self.leaves:
            values = [value_at(settings, leaf) for settings in resolved]
            chosen = [one for value in values for one in (value or [] if leaf.is_list else [value])]
            wrong = [one for one in chosen if not self.is_offered(leaf.name, one)]
            if wrong:
                raise SettingsError(
                    f"{leaf.name.replace('_', ' ')}: {shown(wrong)} cannot be chosen here",
                    hint=self.why_not_offered(leaf.name),
                    fields=(leaf.name,),
                )

    def offered_instead(self, name: str, value: Any, several: bool) -> Any:
        if name not in self.outlook.offered or value == EACH_ITS_OWN:
            return value
        offered = [one for one in (value or [] if several else [value]) if self.is_offered(name, one)]
        offered = offered or self.outlook.offered[name]
        return offered if several else offered[0]

    def is_offered(self, name: str, value: Any) -> bool:
        return value == EACH_ITS_OWN or value in self.outlook.offered.get(name, [value])

    def why_not_offered(self, name: str) -> str:
        return self.outlook.reasons.get(name, "not with what was found")


def _one_for_all(values: list[Any]) -> Any:
    """The value, or the word for several."""
    return values[0] if all(value == values[0] for value in values) else EACH_ITS_OWN


def _value_in(preset: offers.Preset | None, settings: type[Settings], leaf: Leaf) -> Any:
    value: Any = nested(settings, preset.settings) if preset else {}
    for name in leaf.path:
        if not isinstance(value, Mapping) or name not in value:
            return leaf.default
        value = value[name]
    return value
