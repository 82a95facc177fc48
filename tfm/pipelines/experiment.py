"""Build the plan of an experiment: every combination of levels and seeds, then their contrast."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from tfm.analysis.settings import Split
from tfm.commands.experiment import Experiment
from tfm.core import files, hints
from tfm.core.errors import SettingsError
from tfm.core.registry import Planner, find_command
from tfm.core.runs.plan import Step
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.resolve import (
    check_values,
    find_names_without_effect,
    merge,
    place_values,
    resolve,
)
from tfm.core.settings.serialize import collect_key_values

Levels = dict[str, dict[str, Any]]  # name → settings
_EXAMPLES = "compare it with an example in configs/experiments"


class Varied(Settings):
    """The content of an experiment file."""

    title: str
    """The research question in one line"""
    about: str
    """What is compared with what, for readers of the results"""
    stage: str
    """The command that runs with each combination: train, or a plan that trains, such as swin-mim"""
    preset: str | None = None
    """The preset that the settings change; train needs one"""
    split: Split = "test"
    """The images on which the ways are compared: val if settings are chosen by the result"""
    settings: dict[str, Any] = {}  # noqa: RUF012
    """Settings of all runs"""
    factors: Annotated[dict[str, Annotated[Levels, Field(min_length=1)]], Field(min_length=1)]
    """The factors with their levels; each level has its settings"""


def plan_experiment(settings: Experiment, workspace: Workspace) -> list[Step]:
    varied = _read_factors(settings)
    with _name_place(f"{settings.file}"):
        command, preset = find_command(varied.stage), find_preset(workspace, varied.stage, varied.preset)
    data = {"dataset": settings.dataset, "cache": settings.cache}
    _check_named_once(settings, varied, data, command.settings)
    throughout = varied.settings | settings.settings | data
    defaults = place_values(command.settings, throughout)
    if preset:
        defaults = merge(place_values(command.settings, preset.settings), defaults)
    steps: list[Step] = []
    ways: list[str] = []
    known: dict[str, Settings] = {}
    for number in range(settings.seeds):
        for levels in itertools.product(*(levels.items() for levels in varied.factors.values())):
            given = {name: value for _, own in levels for name, value in own.items()}
            way = ", ".join(name for name, _ in levels)
            with _name_place(f"{settings.file}, {way}"):
                chosen: Any = resolve(command.settings, defaults, given)
            _check_differs(settings, way, chosen, known)
            useless = find_names_without_effect(command.settings, defaults, given)
            if number and "seed" in useless:
                continue  # every seed gives the same run
            seed = chosen.seed + number
            if isinstance(command, Planner):
                planned = command.build_steps(chosen.model_copy(update={"seed": seed}), workspace)
            else:
                own = {name: value for name, value in throughout.items() if name not in useless} | given
                own |= {"seed": seed} if number else {}
                planned = [Step(command.name, command.name, own, varied.preset)]
            _check_trains_once(settings, way, planned)
            steps += _name_steps(f"{way}, {seed}", planned)
            ways.append(way)
    _check_explained(settings, ways, steps)
    return [*steps, _build_contrast(varied, ways, steps)]


def _name_steps(prefix: str, planned: list[Step]) -> list[Step]:
    """Name the steps of a combination, also where they refer to each other."""
    return [
        replace(step, name=_build_step_name(prefix, step.name), settings=_prefix_references(prefix, step.settings))
        for step in planned
    ]


def _read_factors(settings: Experiment) -> Varied:
    try:
        content = files.read_yaml(settings.file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{settings.file} cannot be read as YAML: {' '.join(str(error).split())}",
            hint=_EXAMPLES,
            fields=("file",),
        ) from None
    if not content or not isinstance(content, dict):
        what = "is empty" if not content else "contains no settings"
        raise SettingsError(f"{settings.file} {what}", hint=_EXAMPLES, fields=("file",))
    with _name_place(f"{settings.file}"):
        varied = resolve(Varied, {}, {str(name): value for name, value in content.items()})
    *_, (factor, levels) = varied.factors.items()
    if len(levels) == 1:
        raise SettingsError(
            f"{settings.file}: {factor} has one level, {next(iter(levels))}: nothing to compare",
            hint="add a level, or put a factor with several levels last: the levels of the last factor are compared",
            fields=("file",),
        )
    return varied


@contextmanager
def _name_place(place: str) -> Iterator[None]:
    """Name the place of a setting in the errors raised here."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{place}: {error.message}", hint=error.hint, fields=("file",)) from None


def _check_named_once(settings: Experiment, varied: Varied, data: Mapping[str, Any], planned: type[Settings]) -> None:
    """Refuse a setting that is set in two places: one of the two would have no effect."""
    throughout = {f"settings of {settings.file}": varied.settings, hints.setting("settings"): settings.settings}
    places: dict[str, str] = dict.fromkeys(data, "the experiment itself")
    for place, given in throughout.items():
        places |= dict.fromkeys(_list_settings(planned, place, given), place)
    for factor, levels in varied.factors.items():
        here = f"{settings.file}, factor {factor}"
        own = {
            name for level, given in levels.items() for name in _list_settings(planned, f"{here}, level {level}", given)
        }
        for name in sorted(own & places.keys()):
            raise SettingsError(
                f"{here}: {name.replace('_', '-')} is set here and by {places[name]}",
                hint="set it in one place only: in the levels of one factor, or for all runs",
                fields=("file", "settings"),
            )
        places |= dict.fromkeys(own, f"factor {factor}")


def _list_settings(planned: type[Settings], place: str, given: Mapping[str, Any]) -> list[str]:
    """The names of the settings given there, flat or grouped."""
    with _name_place(place):
        check_values(planned, given)
        return list(_iterate_names(place_values(planned, given)))


def _iterate_names(placed: Mapping[str, Any]) -> Iterator[str]:
    for name, value in placed.items():
        if isinstance(value, Mapping):
            yield from _iterate_names(value)
        else:
            yield name


def _check_differs(settings: Experiment, way: str, chosen: Settings, known: dict[str, Settings]) -> None:
    """Refuse a way with the same settings as a known one, and add it to them."""
    same = [
        other for other, one in known.items() if other != way and collect_key_values(one) == collect_key_values(chosen)
    ]
    if same:
        raise SettingsError(
            f"{settings.file}: {same[0]} and {way} are the same: their settings do not differ",
            hint="leave out one of the two, or change its settings",
            fields=("file",),
        )
    known[way] = chosen


def _check_trains_once(settings: Experiment, way: str, planned: list[Step]) -> None:
    trained = sum(step.stage == "train" for step in planned)
    if trained != 1:
        raise SettingsError(
            f"{settings.file}: {way} trains {trained} models, but each combination must train exactly one",
            hint="choose a plan that trains, and no level with skip_train",
            fields=("file",),
        )


def _check_explained(settings: Experiment, ways: list[str], steps: list[Step]) -> None:
    explained = sum(step.stage == "explain" for step in steps)
    if explained not in (0, len(ways)):
        raise SettingsError(
            f"{settings.file}: {explained} of {len(ways)} trainings are explained, so they cannot be compared",
            hint="explain all of them or none: set visualize in the settings of all runs, not in a level",
            fields=("file",),
        )


def _build_step_name(prefix: str, name: str) -> str:
    return f"{re.sub(r'[^a-zA-Z0-9+]+', '-', prefix)}-{name}"  # a dot would end the name in a reference


def _prefix_references(prefix: str, value: Any) -> Any:
    """Let references name steps of the same combination."""
    if isinstance(value, dict):
        return {name: _prefix_references(prefix, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_prefix_references(prefix, part) for part in value]
    return f"@{_build_step_name(prefix, value[1:])}" if isinstance(value, str) and value.startswith("@") else value


def _build_contrast(varied: Varied, ways: list[str], steps: list[Step]) -> Step:
    """Contrast the trainings and their explanations."""
    runs = {stage: [f"@{step.name}.run" for step in steps if step.stage == stage] for stage in ("train", "explain")}
    against: dict[str, list[str]] = {}
    *_, last = (list(levels) for levels in varied.factors.values())
    for *same, own in itertools.product(*varied.factors.values()):
        at = last.index(own)
        if at:  # the first is compared with nothing
            others = dict.fromkeys((last[0], last[at - 1]))
            against[", ".join([*same, own])] = [", ".join([*same, other]) for other in others]
    chosen = {"runs": runs["train"], "ways": ways, "against": against, "explained": runs["explain"]}
    if varied.split != "test":
        chosen["split"] = varied.split
    return Step("contrast", "contrast", chosen)
