"""What a command is, and how a name or a dotted path leads to code. Commands are registered in tfm/commands.

Only registered names are imported. A name comes from a workspace as well, and a workspace must not be able to run code.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field
from pydantic.fields import FieldInfo

from tfm.core.errors import SettingsError
from tfm.core.events import Event
from tfm.core.runs.plan import Step
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.core.settings.fields import SettingField, list_fields
from tfm.core.settings.schema import IMPORTANT, Settings

EXTRA_COMMANDS = "TFM_COMMANDS"  # environment variable: a package of further command modules, such as my_lab.commands


@dataclass(frozen=True)
class Outlook:
    """What a look found out about settings, by name: `settled` ones are not asked for, only `offered` choices can be
    chosen, and `reasons` says why."""

    settled: dict[str, Any] = field(default_factory=dict)
    offered: dict[str, list[Any]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def load(path: str) -> Any:
    """Import what a dotted path such as `tfm.pipelines.train:train` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def stream(path: str, *arguments: Any) -> Iterator[Any]:
    """The events of the function that a dotted path names. Its module is imported when the first one is asked for."""
    yield from load(path)(*arguments)


@dataclass(frozen=True)
class Repeat:
    """A word that makes a queue of runs: `seeds=3` makes one run for each of three values of the setting `seed`,
    counted up from its value, or from 1 if it has none."""

    word: str
    setting: str
    at_most: str | None = None  # dotted path: (settings, workspace) → the highest value

    @property
    def field(self) -> SettingField:
        """The field that forms and the command line ask for. No run ever sees it."""
        text = f"How many {self.word}?\nA run for each, counted up from {self.setting}; several make a queue."
        annotation = Annotated[int, Field(ge=1, description=text), IMPORTANT]
        return SettingField(self.word, (self.word,), FieldInfo.from_annotated_attribute(annotation, 1))

    def find_limit(self, settings: Settings, workspace: Workspace) -> int | None:
        """The highest value that the setting can have, or None if there is no limit."""
        return load(self.at_most)(settings, workspace) if self.at_most else None


@dataclass(frozen=True, kw_only=True)
class Command:
    """One thing a user can do. Its name is that of the file that defines its settings."""

    settings: type[Settings]
    pipeline: str  # dotted path of the work

    @property
    def name(self) -> str:
        return self.settings.__module__.rpartition(".")[2].replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Stage(Command):
    """A command whose pipeline is a generator of events that works in a run: (settings, run) → events.

    Raise `version` when the output or a default changes: older runs are then not reused. `presets` names a folder below
    configs/; without a default preset one must be chosen, and several may be. `extends_by` names the setting that may
    grow in an extended run. `trial` names a command that shows on a few images what this one would do to all of them.

    The rest are dotted paths. `look` runs in a form once the required settings are answered and ends with an Outlook:
    (values, workspace) → events. `preview` runs with the complete settings before they are started: (settings,
    workspace) → events. Neither creates anything that a run would. `extra_inputs` lists the files and folders that a
    run reads although its settings don't name them: (settings) → paths.
    """

    version: int
    presets: str | None = None
    default_preset: str | None = None
    look: str | None = None
    preview: str | None = None
    trial: str | None = None
    extra_inputs: str | None = None
    extends_by: str | None = None
    repeats: tuple[Repeat, ...] = ()

    def generate(self, settings: Settings, run: Run) -> Iterator[Event]:
        return stream(self.pipeline, settings, run)

    def list_extra_inputs(self, settings: Settings) -> list[Path]:
        return load(self.extra_inputs)(settings) if self.extra_inputs else []


@dataclass(frozen=True, kw_only=True)
class Planner(Command):
    """A command that starts several stages, one after the other: (settings, workspace) → steps."""

    def build_steps(self, settings: Settings, workspace: Workspace) -> list[Step]:
        steps: list[Step] = load(self.pipeline)(settings, workspace)
        return steps


@dataclass(frozen=True, kw_only=True)
class Answer(Command):
    """A command that answers at once, without a run or a process of its own: (settings, workspace) → events."""

    def generate(self, settings: Settings, workspace: Workspace) -> Iterator[Event]:
        return stream(self.pipeline, settings, workspace)


def find(name: str) -> Command:
    """The command of this name."""
    command: Command = _import_command(name).COMMAND
    return command


def find_stage(name: str) -> Stage:
    found = find(name)
    if not isinstance(found, Stage):
        raise SettingsError(f"{name} is not a stage with runs of its own", hint="name one of the stages it consists of")
    return found


def repeats_of(found: Command) -> tuple[Repeat, ...]:
    return found.repeats if isinstance(found, Stage) else ()


def asked(found: Command) -> list[SettingField]:
    """Everything that a form and the command line ask for: the settings, and behind them the words that repeat."""
    return list_fields(found.settings) + [repeat.field for repeat in repeats_of(found)]


def summary(name: str) -> str:
    """The first line of the command's help."""
    return (_import_command(name).__doc__ or name).split("\n", 1)[0]


def _import_command(name: str) -> ModuleType:
    """The module of a command that ships, or of one in the package that the environment names."""
    module = name.replace("-", "_")
    package = "" if presets.is_shipped(name) or not module.isidentifier() else os.environ.get(EXTRA_COMMANDS)
    if package and importlib.util.find_spec(f"{package}.{module}"):
        return importlib.import_module(f"{package}.{module}")
    presets.stage_file(name)  # refuses a name that is not registered
    return importlib.import_module(f"tfm.commands.{module}")
