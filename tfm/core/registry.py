"""What can be done: stages and planners, found by their file names; presets, found by their YAML names.

Listing reads names and first lines only. Code is imported when a name is used.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from tfm.core import files
from tfm.core.errors import SettingsError
from tfm.core.events import Event
from tfm.core.plan import Step
from tfm.core.run import Run
from tfm.core.settings import Settings
from tfm.core.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[2]
STAGES = PROJECT / "tfm" / "stages"
CONFIGS = PROJECT / "configs"


class Generate(Protocol):
    def __call__(self, settings: Any, run: Run) -> Iterator[Event]: ...


@dataclass(frozen=True)
class Stage:
    """One thing a user can do. `presets` names the folder below configs/ that holds its presets."""

    name: str
    version: int
    settings: type[Settings]
    generate: Generate
    presets: str | None = None


@dataclass(frozen=True)
class Planner:
    """A function from settings to a plan: what several stages do one after the other."""

    name: str
    settings: type[Settings]
    steps: Callable[[Any], list[Step]]


def stage(*, version: int, presets: str | None = None) -> Callable[[Generate], Stage]:
    def register(generate: Generate) -> Stage:
        return Stage(_name_of(generate), version, _settings_of(generate), generate, presets)

    return register


def planner(steps: Callable[[Any], list[Step]]) -> Planner:
    return Planner(_name_of(steps), _settings_of(steps), steps)


def _settings_of(function: Any) -> type[Settings]:
    settings: type[Settings] = get_type_hints(function)["settings"]
    assert issubclass(settings, Settings)
    return settings


def _name_of(function: Any) -> str:
    module = str(function.__module__)
    return module.removeprefix("tfm.stages.").replace("_", "-") if module.startswith("tfm.stages.") else module


def names() -> list[str]:
    """Every stage and planner that ships, in the order of the work."""
    from tfm.stages import ORDER

    found = [path.stem.replace("_", "-") for path in STAGES.glob("[!_]*.py")]
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def summary(name: str) -> str:
    """The first line of the file's docstring, read without importing it."""
    source = (STAGES / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or name).split("\n", 1)[0]


def find(name: str) -> Stage | Planner:
    """A stage or planner by name. A name with a dot is a module of your own that holds one."""
    if "." not in name and name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        raise SettingsError(
            f"there is no stage called {name!r}",
            hint=f"did you mean {close[0]}?" if close else "there are: " + ", ".join(names()),
        )
    module = importlib.import_module(name if "." in name else f"tfm.stages.{name.replace('-', '_')}")
    return next(thing for thing in vars(module).values() if isinstance(thing, Stage | Planner) and thing.name == name)


def find_stage(name: str) -> Stage:
    found = find(name)
    if isinstance(found, Planner):
        raise SettingsError(f"{name} is a plan of several stages", hint="name one of its stages instead")
    return found


@dataclass(frozen=True)
class Preset:
    """A YAML of title, about, stage and settings: what a menu offers by name."""

    name: str
    title: str
    about: str
    stage: str
    settings: dict[str, Any]


def preset_names(folder: str, workspace: Workspace) -> list[str]:
    return sorted(_preset_files(folder, workspace))


def preset(folder: str, name: str, workspace: Workspace) -> Preset:
    found = _preset_files(folder, workspace)
    if name not in found:
        known = {known_name.lower(): known_name for known_name in found}
        close = difflib.get_close_matches(name.lower(), known, n=1)
        raise SettingsError(
            f"there is no {folder} preset called {name!r}",
            hint=(f"did you mean {known[close[0]]}? " if close else "") + "There are: " + ", ".join(sorted(found)),
        )
    content = files.read_yaml(found[name])
    unknown = set(content) - {"title", "about", "stage", "settings"}
    if unknown or not {"title", "about", "stage"} <= set(content):
        raise SettingsError(
            f"{found[name]} must hold title, about, stage and settings"
            + (f", not {', '.join(unknown)}" if unknown else ""),
            hint="compare it with a preset that ships, below configs/",
        )
    return Preset(name, content["title"], content["about"].strip(), content["stage"], content.get("settings") or {})


def _preset_files(folder: str, workspace: Workspace) -> dict[str, Path]:
    own = workspace.own_models_folder if folder == "models" else None
    shipped = {path.stem: path for path in (CONFIGS / folder).glob("*.yaml")}
    return shipped | ({path.stem: path for path in own.glob("*.yaml")} if own else {})
