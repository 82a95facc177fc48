"""The kinds of commands, and the import of a command or its work by name.

Only commands that ship or that the environment adds are imported: a name in a workspace must not run code.
`command_list` lists the commands that ship without importing them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field
from pydantic.fields import FieldInfo

from tfm.core import command_list
from tfm.core.errors import SettingsError
from tfm.core.events import Event
from tfm.core.runs.plan import Step
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import IMPORTANT, Settings
from tfm.core.settings.fields import SettingField, list_fields

EXTRA_COMMANDS = "TFM_COMMANDS"  # environment variable: a package of additional commands, such as my_lab.commands


@dataclass(frozen=True)
class InspectionResult:
    """What the inputs allow, by setting: `fixed` values are not asked for, `choices` are the only valid ones, and
    `reasons` explain both."""

    fixed: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, list[Any]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def import_object(path: str) -> Any:
    """Import the object at a dotted path such as `tfm.pipelines.train:train`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def stream_events(path: str, *arguments: Any) -> Generator[Any, None, None]:
    """Yield the events of the generator function at a dotted path, imported at the first event."""
    yield from import_object(path)(*arguments)


@dataclass(frozen=True)
class Repeat:
    """A word that starts a queue of runs: `seeds=3` starts one run for each of three values of the setting `seed`,
    counted up from its value, or from 1 if it has none."""

    word: str
    setting: str
    at_most: str | None = None  # dotted path: (settings, workspace) → the highest value

    @property
    def field(self) -> SettingField:
        """The field in forms and on the command line. It is not part of any run's settings."""
        text = f"How many {self.word}?\nEach is one run, counted up from {self.setting}; several runs form a queue."
        annotation = Annotated[int, Field(ge=1, description=text), IMPORTANT]
        return SettingField(self.word, (self.word,), FieldInfo.from_annotated_attribute(annotation, 1))

    def find_limit(self, settings: Settings, workspace: Workspace) -> int | None:
        """The highest allowed value of the setting, or None."""
        return import_object(self.at_most)(settings, workspace) if self.at_most else None


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of the menu and the command line, named after the file that defines its settings."""

    settings: type[Settings]
    pipeline: str  # dotted path of the function that does the work
    repeats: tuple[Repeat, ...] = ()
    compared_by: str | None = None  # the command that ends a queue of repeats: its setting `runs` names them

    @property
    def name(self) -> str:
        return self.settings.__module__.rpartition(".")[2].replace("_", "-")

    @property
    def summary(self) -> str:
        """The first line of the command's help."""
        return (sys.modules[self.settings.__module__].__doc__ or self.name).partition("\n")[0]

    def list_fields(self) -> list[SettingField]:
        """The fields of forms and the command line: the settings, then the words that repeat runs."""
        return list_fields(self.settings) + [repeat.field for repeat in self.repeats]


@dataclass(frozen=True, kw_only=True)
class Stage(Command):
    """A command with runs. Its pipeline yields events: (settings, run) → events.

    Attributes:
        version: Raise it when the output or a default changes: results of older runs are then not reused.
        presets: A folder below configs/. Without a default preset, the user must choose one and may choose several.
        extends_by: The setting that may be higher in an extended run.
        is_distributed: Whether several processes can share one run, as the settings `devices` and `nodes` say.
        trial: A command that shows on a few images what this one does to all of them.
        inspect: Dotted path; runs in a form after the required settings: (values, workspace) → events, the last one an
            InspectionResult. It creates nothing.
        inspected: Further settings that the inspection reads if they are answered. It runs again after a new answer.
        preview: Dotted path; runs with the complete settings before a start: (settings, workspace) → events. It creates
            nothing.
        extra_inputs: Dotted path; lists files and folders that a run reads and its settings do not name:
            (settings, workspace) → paths.
    """

    version: int
    presets: str | None = None
    default_preset: str | None = None
    inspect: str | None = None
    inspected: tuple[str, ...] = ()
    preview: str | None = None
    trial: str | None = None
    extra_inputs: str | None = None
    extends_by: str | None = None
    is_distributed: bool = False

    def generate(self, settings: Settings, run: Run) -> Iterator[Event]:
        return stream_events(self.pipeline, settings, run)

    def list_extra_inputs(self, settings: Settings, workspace: Workspace) -> list[Path]:
        return import_object(self.extra_inputs)(settings, workspace) if self.extra_inputs else []


@dataclass(frozen=True, kw_only=True)
class Planner(Command):
    """A command that plans several runs, one after the other: (settings, workspace) → steps."""

    def build_steps(self, settings: Settings, workspace: Workspace) -> list[Step]:
        steps: list[Step] = import_object(self.pipeline)(settings, workspace)
        return steps


@dataclass(frozen=True, kw_only=True)
class Answer(Command):
    """A command that answers immediately, without a run: (settings, workspace) → events."""

    def generate(self, settings: Settings, workspace: Workspace) -> Iterator[Event]:
        return stream_events(self.pipeline, settings, workspace)


def find_command(name: str) -> Command:
    command: Command = _import_command(name).COMMAND
    return command


def find_stage(name: str) -> Stage:
    command = find_command(name)
    if not isinstance(command, Stage):
        raise SettingsError(f"{name} has no runs of its own", hint="name one of the commands that it starts")
    return command


def _import_command(name: str) -> ModuleType:
    """Import a command that ships, or one of the package that the environment names."""
    module = name.replace("-", "_")
    package = "" if command_list.is_shipped(name) or not module.isidentifier() else os.environ.get(EXTRA_COMMANDS)
    if package and importlib.util.find_spec(f"{package}.{module}"):
        return importlib.import_module(f"{package}.{module}")
    command_list.find_file(name)  # refuses a name that does not ship
    return importlib.import_module(f"tfm.commands.{module}")
