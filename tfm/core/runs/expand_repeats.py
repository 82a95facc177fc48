"""A queue of runs: presets × the values of repeated settings, such as folds and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfm.core import hints, registry
from tfm.core.errors import SettingsError
from tfm.core.runs.plan import Step
from tfm.core.runs.resolve_command_settings import find_preset, get_started_command, resolve_settings
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import find_field, get_value, list_fields
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import find_names_without_effect
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


def build_queue(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str], counts: Mapping[str, int]
) -> list[Step]:
    """One step for each preset and each repeated value, named like MODEL-fold2-seed8.

    A queue of repeated runs ends with their comparison.
    """
    pairs = split_values_by_preset(workspace, name, given, presets)
    _check_repeats_have_effect(name, pairs, counts)
    steps = []
    for preset, own in pairs:
        command = get_started_command(name, preset)
        for values in _iterate_repeated_values(workspace, command, own, preset, counts):
            words = [
                preset.name if preset else command.rpartition(".")[2],
                *(f"{setting}{value}" for setting, value in values.items()),
            ]
            step_name = "-".join(words).replace(".", "-")  # a dot would end the name in a reference
            steps.append(_build_step(workspace, step_name, command, {**own, **values}, preset))
    comparison = registry.find_command(name).compared_by
    if counts and comparison:
        steps.append(Step(comparison, comparison, {"runs": [f"@{step.name}.run" for step in steps]}))
    return steps


def split_values_by_preset(
    workspace: Workspace, name: str, given: Mapping[str, Any], presets: Sequence[str]
) -> list[tuple[Preset | None, dict[str, Any]]]:
    """Pair each preset with its values. A value that has an effect with only some presets is given to those alone."""
    loaded = [find_preset(workspace, name, one) for one in presets or (None,)]
    useless = [_find_useless_names(name, preset, given) for preset in loaded]
    useless_everywhere = set.intersection(*useless)
    return [
        (preset, {name: value for name, value in given.items() if name in useless_everywhere or name not in names})
        for preset, names in zip(loaded, useless, strict=True)
    ]


def _find_useless_names(name: str, preset: Preset | None, given: Mapping[str, Any]) -> set[str]:
    settings = registry.find_command(get_started_command(name, preset)).settings
    return find_names_without_effect(settings, preset.settings if preset else {}, given)


def _check_repeats_have_effect(
    name: str, pairs: Sequence[tuple[Preset | None, Mapping[str, Any]]], counts: Mapping[str, int]
) -> None:
    useless = [_find_useless_names(name, preset, given) for preset, given in pairs]
    for repeat in registry.find_command(name).repeats:
        if repeat.word in counts and all(repeat.setting in names for names in useless):
            raise SettingsError(
                f"{repeat.setting} has no effect here, so all {counts[repeat.word]} runs would be the same",
                hint=f"start it without {hints.setting(repeat.word)}",
                fields=(repeat.word,),
            )


def _iterate_repeated_values(
    workspace: Workspace, command: str, given: Mapping[str, Any], preset: Preset | None, counts: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """All combinations of the repeated settings that have an effect; the last one changes fastest."""
    found = registry.find_command(command)
    settings = resolve_settings(workspace, command, given, preset)
    useless = find_names_without_effect(found.settings, preset.settings if preset else {}, given)
    known = [repeat for repeat in found.repeats if repeat.word in counts]
    unknown = counts.keys() - {repeat.word for repeat in known}
    if unknown:
        raise SettingsError(
            f"{preset.name if preset else command} cannot be repeated by {', '.join(sorted(unknown))}",
            hint=f"start it without {hints.setting(min(unknown))}",
            fields=tuple(unknown),
        )
    repeats = [repeat for repeat in known if repeat.setting not in useless]
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


def _build_step(workspace: Workspace, name: str, command: str, given: Mapping[str, Any], preset: Preset | None) -> Step:
    settings = resolve_settings(workspace, command, given, preset)  # raises before anything is created
    resolved = collect_key_values(settings)  # an input completed now must not change before the step starts
    names = [field.name for field in list_fields(type(settings)) if field.is_required or field.name in given]
    values = dict(given) | {name: resolved[name] for name in names if name in resolved}
    return Step(name, command, values, preset.name if preset else None)
