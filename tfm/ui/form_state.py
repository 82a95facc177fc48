"""The values of a form while it is filled: presets, answers, and what the inspection of the input detected.

Nothing here asks, draws or writes files.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfm.core import registry
from tfm.core.errors import SettingsError, TFMError
from tfm.core.registry import InspectionResult
from tfm.core.runs import inputs
from tfm.core.runs.expand_repeats import find_useless_names, list_queue, split_repeats, split_values_by_preset
from tfm.core.runs.matching_products import PARTNERS, select_matching
from tfm.core.runs.resolve_command_settings import get_started_command, resolve_settings
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import SettingField
from tfm.core.settings.resolve import find_fields_without_effect, select_known
from tfm.ui.chosen_presets import VARIES, ChosenPresets, merge_values
from tfm.ui.equivalent_command_line import FilledForm
from tfm.ui.field_prompts import convert_to_plain
from tfm.ui.form_inputs import list_ambiguous_inputs
from tfm.ui.inspected_choices import choose_offered


@dataclass
class FormState:
    """Values resolve as defaults < presets < suggested < answers < detected.

    `suggested` are the values that the caller knows already. An answer to a setting removes its detected value.
    """

    stage: str
    workspace: Workspace
    presets: tuple[str, ...] = ()
    suggested: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    answers: dict[str, Any] = dataclasses.field(default_factory=dict)
    inspection: InspectionResult = dataclasses.field(default_factory=InspectionResult)
    fixed: dict[str, Any] = dataclasses.field(default_factory=dict)
    on: str | None = None  # where to run it, once that was asked
    _chosen: ChosenPresets | None = None

    def __post_init__(self) -> None:
        stage = registry.find_command(self.stage)
        if isinstance(stage, registry.Stage) and stage.default_preset and not self.presets:
            self.presets = (stage.default_preset,)

    @property
    def chosen(self) -> ChosenPresets:
        """The presets, read again when others are chosen."""
        if self._chosen is None or self._chosen.names != self.presets:
            self._chosen = ChosenPresets(self.workspace, self.stage, self.presets)
        return self._chosen

    @property
    def definition(self) -> registry.Command:
        return self.chosen.command

    @property
    def inspection_path(self) -> str | None:
        return self.definition.inspect if isinstance(self.definition, registry.Stage) else None

    @property
    def preview_path(self) -> str | None:
        return self.definition.preview if isinstance(self.definition, registry.Stage) else None

    @property
    def fields(self) -> list[SettingField]:
        """All settings, then the words that make a queue, such as `seeds`."""
        return self.definition.list_fields()

    @property
    def repeats(self) -> dict[str, registry.Repeat]:
        return {repeat.word: repeat for repeat in self.definition.repeats}

    def needs_answer(self, field: SettingField) -> bool:
        """Whether a setting has no good default, so that it has to be asked for: a model, and most required ones."""
        if field.input and field.input.kind == "model":
            return True
        return field.is_required and not field.parts and field.name not in self._inputs

    def find_inputs(self) -> dict[str, Any]:
        """The dataset and the cache that the form stands for, as far as they are known, and first weights by answer."""
        named = [field for field in self.fields if field.name in ("dataset", "cache")]
        answered = {name: self.given[name] for name in ("weights",) if name in self.given}
        return {name: value for name, value in self.read_values(named).items() if value} | answered

    def list_review_fields(self) -> list[SettingField]:
        """The settings that a review can show: those that have an effect, and repeats that can be more than 1."""
        hidden = self._find_single_repeats()
        return [field for name, field in self.list_changeable().items() if name not in hidden]

    def load_answers(self, answers: Mapping[str, Any]) -> None:
        """Take last time's answers, except those to settings that no longer exist."""
        self.answers = select_known(self.definition.settings, answers)
        for word in answers.keys() & self.repeats.keys():
            with contextlib.suppress(ValueError):
                self.answers[word] = self.repeats[word].field.parse(answers[word])

    def apply_inspection(self, inspection: InspectionResult) -> None:
        """Take the detected values, and replace a default that is not offered by one that is."""
        self.inspection = inspection
        self.fixed = {name: convert_to_plain(value) for name, value in inspection.fixed.items()}
        for field in self.fields:
            if field.name in inspection.choices and field.name not in self.given:
                default = convert_to_plain(self.get_default(field))
                instead = choose_offered(inspection, field.name, default, field.is_list)
                if instead != default:
                    self.fixed[field.name] = instead

    def reset(self) -> None:
        required = {field.name for field in self.fields if field.is_required}
        self.answers = {name: value for name, value in self.answers.items() if name in required}
        self.apply_inspection(self.inspection)

    @property
    def given(self) -> dict[str, Any]:
        """The values to run with: without values of parts that are off, and without those that have no effect."""
        ineffective = self.ineffective
        found = self._read_values_of_runs()
        unnamed = {name: value for name, value in self._inputs.items() if name not in found}
        values = {**list_ambiguous_inputs(self.workspace, unnamed), **self._known}
        named = {name.partition(".")[0] for name in values if "." in name}
        switches = [self._read_switches(field, values) for field in self.fields if named & field.parts.keys()]
        off = {part for parts in switches for part, on in parts.items() if on is not True}
        return {
            name: value
            for name, value in values.items()
            if name not in ineffective and ("." not in name or name.partition(".")[0] not in off)
        }

    @property
    def filled_form(self) -> FilledForm:
        return FilledForm(self.stage, self.presets, self.given, self.on)

    @property
    def trial(self) -> FilledForm | None:
        """The command that shows on a few images what this one does, with the settings that both have."""
        stage = self.definition
        if not isinstance(stage, registry.Stage) or stage.trial is None:
            return None
        trial = registry.find_stage(stage.trial)
        presets = self.presets if trial.presets == stage.presets else ()
        return FilledForm(trial.name, presets, select_known(trial.settings, self.given))

    def answer(self, field: SettingField, value: Any) -> None:
        """Take an answer; for a setting with parts, `value` lists the parts that are on."""
        if not field.parts:
            self._set_answer(field.name, convert_to_plain(value), convert_to_plain(self.get_default(field)))
            self._forget_mismatch(field.name)
            return
        for part, on in self.get_default(field).items():
            if on != VARIES:
                self._set_answer(part, part in value, on)

    def _forget_mismatch(self, name: str) -> None:
        """Forget the cache, if it does not belong to the dataset that was chosen now, or the reverse."""
        partner = PARTNERS.get(name)
        if partner is None:
            return
        chosen, kept = self._known.get(name), self._known.get(partner)
        if kept and kept not in select_matching(self.workspace, partner, chosen):
            self.suggested = {name: value for name, value in self.suggested.items() if name != partner}
            self.answers.pop(partner, None)

    def _set_answer(self, name: str, value: Any, unchanged: Any) -> None:
        """Keep only what differs from the default; a different answer replaces the detected value."""
        if name in self.fixed and value == self.fixed[name]:
            return
        self.fixed.pop(name, None)
        if value == unchanged:
            self.answers.pop(name, None)
        else:
            self.answers[name] = value

    @property
    def _known(self) -> dict[str, Any]:
        return {**self.suggested, **self.answers, **self.fixed}

    @property
    def _inputs(self) -> dict[str, Any]:
        return self.chosen.find_inputs(self._known)

    def _read_values_of_runs(self) -> dict[str, Any]:
        """What a named run brings, such as the winner of a study and its data."""
        with contextlib.suppress(TFMError):  # the review reports it
            return inputs.read_values_of_runs(self.workspace, self.definition.settings, self._known)
        return {}

    def get_default(self, field: SettingField) -> Any:
        """The value without answers, or VARIES if the presets differ."""
        if field.parts:
            return self._read_switches(field, self.suggested)
        known = {**self._inputs, **self._read_values_of_runs(), **self.suggested}
        return known[field.name] if field.name in known else merge_values(self.list_preset_values(field))

    def list_preset_values(self, field: SettingField) -> list[Any]:
        """The value of a setting in each of the presets."""
        return self.chosen.read_values(field, {})

    def get_value(self, field: SettingField) -> Any:
        return self.read_values([field])[field.name]

    def read_values(self, fields: Sequence[SettingField]) -> dict[str, Any]:
        """Values by name; of a setting with parts, which of them are on."""
        given, switches = self.given, self._known
        values = {}
        for field in fields:
            if field.parts:
                values[field.name] = self._read_switches(field, switches)
            elif field.name in given:
                values[field.name] = given[field.name]
            else:
                values[field.name] = self.get_default(field)
        return values

    @property
    def ineffective(self) -> set[str]:
        """The settings, and the settings of parts, that have no effect with any of the presets."""
        stage = self.definition
        if isinstance(stage, registry.Stage) and stage.presets and not (self.presets or stage.default_preset):
            return set()  # unknown until a preset is chosen
        given, _ = split_repeats(stage, self._known)
        found = set.intersection(*(find_useless_names(self.stage, one, given) for one in self.chosen.loaded))
        for field in self.fields:
            for part in field.parts:
                values = [(mapping or {}).get(part, False) for mapping in self.chosen.read_values(field, given)]
                on = [{} if value is True else value for value in values if value is not False]
                each = [find_fields_without_effect(field.parts[part], value) for value in on]
                names = [{f"{part}.{inner.name}" for inner, _ in fields} for fields in each]
                found |= set.intersection(*names) if names else set()
        return found | {word for word, repeat in self.repeats.items() if repeat.setting in found}

    def list_part_fields(self, field: SettingField) -> list[SettingField]:
        """The settings of the parts that are on."""
        on = [part for part, state in self._read_switches(field, self._known).items() if state is True]
        return [value for part in on for value in field.list_part_fields(part)]

    def _read_switches(self, field: SettingField, values: Mapping[str, Any]) -> dict[str, Any]:
        """Map each part to on or off, in the preset's order. A setting of a part does not switch it on."""
        if not field.parts:
            return {}
        switches = {name: value for name, value in values.items() if name in field.parts}
        mappings = [mapping or {} for mapping in self.chosen.read_values(field, switches)]
        order = [part for part in dict.fromkeys([*mappings[0], *field.parts]) if part in field.parts]
        return {part: merge_values([one.get(part, False) is not False for one in mappings]) for part in order}

    def list_changeable(self) -> dict[str, SettingField]:
        """Every setting that has an effect, and the settings of the parts that are on, by name."""
        ineffective = self.ineffective
        both = [one for field in self.fields for one in (field, *self.list_part_fields(field))]
        return {field.name: field for field in both if field.name not in ineffective}

    def resolve(self) -> list[Settings]:
        """The complete settings, one for each preset."""
        given, _ = split_repeats(self.definition, self.given)
        return [
            resolve_settings(self.workspace, get_started_command(self.stage, preset), own, preset)
            for preset, own in split_values_by_preset(self.workspace, self.stage, given, self.presets)
        ]

    def list_queue(self) -> list[str]:
        """The names of the runs, if there are several."""
        given, counts = split_repeats(self.definition, self.given)
        if len(self.presets) < 2 and not counts:
            return []
        return [entry.name for entry in list_queue(self.workspace, self.stage, given, self.presets, counts)]

    def _find_single_repeats(self) -> set[str]:
        """The repeats that can only be 1, such as the folds of a split without folds."""
        found = set()
        with contextlib.suppress(TFMError):  # the review reports it
            for word, repeat in self.repeats.items():
                if repeat.at_most and min(repeat.find_limit(one, self.workspace) or 1 for one in self.resolve()) < 2:
                    found.add(word)
        return found

    def collect_inspected_values(self) -> dict[str, Any]:
        """The values to inspect: those of required settings and of other settings that name an input, parsed."""
        known = {**self._inputs, **self.suggested, **self.answers}
        answers = inputs.complete_values(self.workspace, self.definition.settings, known)
        values = {}
        named = self.definition.inspected if isinstance(self.definition, registry.Stage) else ()
        for field in self.fields:
            if field.is_required or ((field.input or field.name in named) and field.name in answers):
                try:
                    values[field.name] = field.parse(merge_values(self.chosen.read_values(field, answers)))
                except ValueError as error:
                    raise SettingsError(str(error), hint=field.question, fields=(field.name,)) from None
        return values
