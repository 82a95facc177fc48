"""Stages and planners as code: registered by decorator, imported when their name is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Protocol, get_type_hints

from pydantic import Field
from pydantic.fields import FieldInfo

from tfm.core.errors import SettingsError
from tfm.core.events import Event
from tfm.core.runs.plan import Step
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets as offers
from tfm.core.settings.fields import SettingField, list_fields
from tfm.core.settings.schema import IMPORTANT, Settings


class Generate(Protocol):
    def __call__(self, settings: Any, run: Run) -> Iterator[Event]: ...


@dataclass(frozen=True)
class Outlook:
    """What a look decides, each by the setting's name: `settled` values go without saying and are not asked for;
    where choices are `offered`, the others cannot be chosen, and `reasons` says why."""

    settled: dict[str, Any] = field(default_factory=dict)
    offered: dict[str, list[Any]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


Look = Callable[[Mapping[str, Any], Workspace], Iterator[Event | Outlook]]
Preview = Callable[[Any, Workspace], Iterator[Event]]
ReadsBesides = Callable[[Any], list[Path]]


@dataclass(frozen=True)
class Repeat:
    """A word that makes a queue of runs: `seeds=3` is one for each of three values of the setting `seed`, counted up
    from what it is, or from 1 where it is none. `at_most` says how far one can count; where that is 1, no form asks."""

    word: str
    setting: str
    at_most: Callable[[Any, Workspace], int] | None = None

    @property
    def field(self) -> SettingField:
        """It is asked for as a setting is; no run ever sees it."""
        said = f"How many {self.word}?\nA run for each, counted up from {self.setting}; several make a queue."
        about = Annotated[int, Field(ge=1, description=said), IMPORTANT]
        return SettingField(self.word, (self.word,), FieldInfo.from_annotated_attribute(about, 1))


@dataclass(frozen=True)
class Stage:
    """One thing a user can do. `presets` names the folder below configs/ that holds its presets; without a default
    preset one must be chosen, and several may be. A form calls `look` once the required settings are
    answered, with these and whatever else a person said that names something to read; it shows what the look yields and
    takes its last word, an Outlook. It calls `preview` with the whole settings before they run. Neither makes anything
    that a run would make. `trial` names a stage that shows on a few images what this one would do to all: it gets, of
    what was given, what it knows by name, and the preset where it has the same `presets`."""

    name: str
    version: int
    settings: type[Settings]
    generate: Generate
    presets: str | None
    default_preset: str | None
    look: Look | None
    preview: Preview | None
    trial: str | None
    reads_besides: ReadsBesides | None
    extends_by: str | None
    repeats: tuple[Repeat, ...]


@dataclass(frozen=True)
class Planner:
    """A function from settings to a plan: several stages, one after the other."""

    name: str
    settings: type[Settings]
    steps: Callable[[Any, Workspace], list[Step]]


@dataclass(frozen=True)
class Answer:
    """Something that answers at once and keeps nothing: it needs no run and no process of its own."""

    name: str
    settings: type[Settings]
    generate: Callable[[Any, Workspace], Iterator[Event]]


Kind = Stage | Planner | Answer


def stage(
    *,
    version: int,
    presets: str | None = None,
    default_preset: str | None = None,
    look: Look | None = None,
    preview: Preview | None = None,
    trial: str | None = None,
    reads_besides: ReadsBesides | None = None,
    extends_by: str | None = None,
    repeats: tuple[Repeat, ...] = (),
) -> Callable[[Generate], Stage]:
    """`version` is raised whenever the stage's output or a default changes: older runs then no longer count.
    `reads_besides` says which files and folders a run of such settings reads that they do not name."""

    def register(generate: Generate) -> Stage:
        return Stage(
            _name_of(generate),
            version,
            _settings_of(generate),
            generate,
            presets,
            default_preset,
            look,
            preview,
            trial,
            reads_besides,
            extends_by,
            repeats,
        )

    return register


def planner(steps: Callable[[Any, Workspace], list[Step]]) -> Planner:
    return Planner(_name_of(steps), _settings_of(steps), steps)


def answer(generate: Callable[[Any, Workspace], Iterator[Event]]) -> Answer:
    return Answer(_name_of(generate), _settings_of(generate), generate)


def _settings_of(function: Any) -> type[Settings]:
    settings: type[Settings] = get_type_hints(function)["settings"]
    return settings


def _name_of(function: Any) -> str:
    module = str(function.__module__)
    return module.removeprefix("tfm.commands.").replace("_", "-") if module.startswith("tfm.commands.") else module


def find(name: str) -> Kind:
    """What a name means. A name with a dot is a module of your own that holds a stage."""
    return next(thing for thing in vars(_module(name)).values() if isinstance(thing, Kind) and thing.name == name)


def repeats_of(found: Kind) -> tuple[Repeat, ...]:
    return found.repeats if isinstance(found, Stage) else ()


def asked(found: Kind) -> list[SettingField]:
    """All that a form asks and a command line takes: the settings, and behind them the words that make a queue."""
    return list_fields(found.settings) + [repeat.field for repeat in repeats_of(found)]


def summary(name: str) -> str:
    """The first line of what its module says of itself."""
    return (_module(name).__doc__ or name).split("\n", 1)[0]


def _module(name: str) -> ModuleType:
    if "." not in name:
        offers.stage_file(name)
    return importlib.import_module(name if "." in name else f"tfm.commands.{name.replace('-', '_')}")


def find_stage(name: str) -> Stage:
    found = find(name)
    if not isinstance(found, Stage):
        raise SettingsError(f"{name} is not a stage with runs of its own", hint="name one of the stages it consists of")
    return found
