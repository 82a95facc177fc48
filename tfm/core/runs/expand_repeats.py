"""A queue of runs: presets × the values of repeated settings, such as folds and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfm.core import hints, registry
from tfm.core.errors import SettingsError
from tfm.core.runs.plan import Step, nest_steps
from tfm.core.runs.resolve_command_settings import find_preset, get_started_command, resolve_settings
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import find_field, get_value, list_fields
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import find_names_without_effect, select_known
from tfm.core.settings.serialize import collect_key_values


def split_repeats(found: registry.Command, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Separate the settings from the repeat counts, such as `seeds=3`. A count of 1 is dropped."""
    fields = {repeat.word: repeat.field for repeat in found.repeats}
    counts = {}
    for word in given.keys() & fields.keys():
        try:
            counts[word] = fields[word].parse(given[word])
        except ValueError as error:
            raise SettingsError(f"{word}: {error}", hint=fields[word].question, fields=(word,)) from None
    settings = {name: value for name, value in given.items() if name not in fields}
    return settings, {word: count for word, count in counts.items() if count > 1}


@dataclass(frozen=True)
class QueuedModel:
    """One entry of a queue: a command with a preset and one value for each repeated setting."""

    name: str
    command: str
    given: dict[str, Any]
    preset: Preset | None


def list_queue(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str], counts: Mapping[str, int]
) -> list[QueuedModel]:
    """One entry for each preset and each repeated value that has an effect with it, named like MODEL-fold2-seed8."""
    pairs = split_values_by_preset(workspace, name, given, presets)
    _check_repeats_have_effect(name, pairs, counts)
    queue = []
    for preset, own in pairs:
        command = get_started_command(name, preset)
        for values in _iterate_repeated_values(workspace, name, own, preset, counts):
            words = [
                preset.name if preset else command.rpartition(".")[2],
                *(f"{setting}{value}" for setting, value in values.items()),
            ]
            entry = "-".join(words).replace(".", "-")  # a dot would end the name in a reference
            queue.append(QueuedModel(entry, command, {**own, **values}, preset))
    return queue


def build_queue(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str], counts: Mapping[str, int]
) -> list[Step]:
    """The steps of a queue. A model that is a plan adds its own steps, named like ResNet50_RF/head.

    A queue of repeated runs ends with their comparison.
    """
    comparison = registry.find_command(name).compared_by
    steps: list[Step] = []
    compared: list[str] = []
    for entry in list_queue(workspace, name, given, presets, counts):
        found = registry.find_command(entry.command)
        if not isinstance(found, registry.Planner):
            steps.append(_build_step(workspace, entry))
            compared.append(entry.name)
            continue
        settings = resolve_settings(workspace, entry.command, entry.given, entry.preset)
        inner = nest_steps(entry.name, found.build_steps(settings, workspace))
        steps += inner
        compared += [step.name for step in inner if comparison and _can_compare(comparison, step)]
    if counts and comparison and compared:
        steps.append(Step(comparison, comparison, {"runs": [f"@{name}.run" for name in compared]}))
    return steps


def complete_queue_values(name: str, given: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """Add the inputs that the first step has: a model that is added later must have the same."""
    required = [field.name for field in list_fields(registry.find_command(name).settings) if field.is_required]
    return {name: steps[0].settings[name] for name in required if name in steps[0].settings} | dict(given)


def _can_compare(comparison: str, step: Step) -> bool:
    field = find_field(registry.find_command(comparison).settings, "runs")
    return field.input is not None and step.stage in field.input.made_by


def split_values_by_preset(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str]
) -> list[tuple[Preset | None, dict[str, Any]]]:
    """Pair each preset with its values. A value that has an effect with only some presets is given to those alone."""
    loaded = [find_preset(workspace, name, one) for one in presets or (None,)]
    useless = [find_useless_names(name, preset, given) for preset in loaded]
    useless_everywhere = set.intersection(*useless)
    return [
        (preset, {name: value for name, value in given.items() if name in useless_everywhere or name not in names})
        for preset, names in zip(loaded, useless, strict=True)
    ]


def find_useless_names(name: str, preset: Preset | None, given: Mapping[str, Any]) -> set[str]:
    """The settings of a queue's command that have no effect with a preset, or that its own command lacks."""
    settings = registry.find_command(get_started_command(name, preset)).settings
    known = select_known(settings, given)
    effectless = find_names_without_effect(settings, preset.settings if preset else {}, known)
    everything = {field.name for field in list_fields(registry.find_command(name).settings)} | given.keys()
    return effectless | (everything - {field.name for field in list_fields(settings)} - known.keys())


def _find_repeats(name: str, preset: Preset | None, given: Mapping[str, Any]) -> list[registry.Repeat]:
    """The repeats of a queue's command that have an effect with a preset."""
    settings = registry.find_command(get_started_command(name, preset)).settings
    known = {field.name for field in list_fields(settings)} - find_useless_names(name, preset, given)
    return [repeat for repeat in registry.find_command(name).repeats if repeat.setting in known]


def _check_repeats_have_effect(
    name: str, pairs: Sequence[tuple[Preset | None, Mapping[str, Any]]], counts: Mapping[str, int]
) -> None:
    repeated = {repeat.word for preset, given in pairs for repeat in _find_repeats(name, preset, given)}
    for repeat in registry.find_command(name).repeats:
        if repeat.word in counts.keys() - repeated:
            raise SettingsError(
                f"{repeat.setting} has no effect here, so all {counts[repeat.word]} runs would be the same",
                hint=f"start it without {hints.setting(repeat.word)}",
                fields=(repeat.word,),
            )


def _iterate_repeated_values(
    workspace: Workspace, name: str, given: Mapping[str, Any], preset: Preset | None, counts: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """All combinations of the repeated settings that have an effect; the last one changes fastest."""
    settings = resolve_settings(workspace, get_started_command(name, preset), given, preset)
    repeats = [repeat for repeat in _find_repeats(name, preset, given) if repeat.word in counts]
    ranges = [_list_values(workspace, settings, repeat, counts[repeat.word]) for repeat in repeats]
    for values in itertools.product(*ranges):
        yield dict(zip((repeat.setting for repeat in repeats), values, strict=True))


def _list_values(workspace: Workspace, settings: Settings, repeat: registry.Repeat, count: int) -> range:
    given = get_value(settings, find_field(type(settings), repeat.setting))
    first = 1 if given is None else given
    most = repeat.find_limit(settings, workspace)
    if most is not None and first + count - 1 > most:
        raise SettingsError(
            f"{count} {repeat.word} starting at {first} are too many: there are {most}",
            hint="choose a smaller number",
            fields=(repeat.word,),
        )
    return range(first, first + count)


def _build_step(workspace: Workspace, entry: QueuedModel) -> Step:
    settings = resolve_settings(
        workspace, entry.command, entry.given, entry.preset
    )  # raises before anything is created
    resolved = collect_key_values(settings)  # an input completed now must not change before the step starts
    fields = list_fields(type(settings))
    names = [field.name for field in fields if field.is_required or field.name in entry.given]
    values = entry.given | {name: resolved[name] for name in names if name in resolved}
    return Step(entry.name, entry.command, values, entry.preset.name if entry.preset else None)
