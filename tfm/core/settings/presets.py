"""What can be offered by name: stages, by their files, and presets, by their YAML. No code is imported to list them."""

from __future__ import annotations

import ast
import difflib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tfm.core import files
from tfm.core.errors import SettingsError

PROJECT = Path(__file__).resolve().parents[3]
STAGES = PROJECT / "tfm" / "commands"
CONFIGS = PROJECT / "configs"
MORE = "More"  # the section of what is wanted less often


def sections() -> dict[str, list[str]]:
    """Every stage and planner that ships, in the order of the work."""
    ordered: dict[str, list[str]] = files.read_yaml(CONFIGS / "menu.yaml")
    standing = {path.stem.replace("_", "-") for path in STAGES.glob("[!_]*.py")}
    named = {title: [name for name in group if name in standing] for title, group in ordered.items()}
    named[MORE] += sorted(standing.difference(*named.values()))
    return {title: group for title, group in named.items() if group}


def names() -> list[str]:
    return [name for group in sections().values() for name in group]


def summary(name: str) -> str:
    """The first line of a stage file's docstring."""
    return _docstring(name).partition("\n")[0]


def explanation(name: str) -> str:
    """The rest of it."""
    return _docstring(name).partition("\n")[2].strip()


@functools.cache
def _docstring(name: str) -> str:
    return ast.get_docstring(ast.parse(stage_file(name).read_text(encoding="utf-8"))) or name


def is_shipped(name: str) -> bool:
    module = name.replace("-", "_")
    return module.isidentifier() and not module.startswith("_") and (STAGES / f"{module}.py").is_file()


def stage_file(name: str) -> Path:
    if not is_shipped(name):
        raise SettingsError(f"there is no stage called {name!r}", hint=_did_you_mean(name, names()))
    return STAGES / f"{name.replace('-', '_')}.py"


@dataclass(frozen=True)
class Preset:
    """A YAML of title, about, stage and settings: what a menu offers by name."""

    name: str
    title: str
    about: str
    stage: str
    settings: dict[str, Any]
    file: Path


_WORDS = ("title", "about", "stage")


def list_presets(folder: str, own: Path | None = None, like: str | None = None) -> list[str]:
    """All of a folder; or those that start the same stage as one of them does, and any that cannot be read."""
    names = sorted(_preset_files(folder, own))
    if like is None:
        return names
    return [name for name in names if _stage_of(folder, name, own) in (_stage_of(folder, like, own), None)]


def _stage_of(folder: str, name: str, own: Path | None) -> str | None:
    try:
        return load_preset(folder, name, own).stage
    except SettingsError:  # said where it is shown
        return None


def load_preset(folder: str, name: str, own: Path | None = None) -> Preset:
    """One of the presets in configs/`folder`, or of a user's `own` folder."""
    found = _preset_files(folder, own)
    if name not in found:
        kind = "model" if folder == "models" else "preset"
        raise SettingsError(f"there is no {kind} called {name!r}", hint=_did_you_mean(name, list(found)))
    if own and (own / f"{name}.yaml") == found[name] and (CONFIGS / folder / f"{name}.yaml").exists():
        raise SettingsError(
            f"{found[name]} has the name of a preset that ships", hint="rename the file: its name is the preset's"
        )
    try:
        content = files.read_yaml(found[name])
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(
            f"{found[name]} cannot be read as YAML: {' '.join(str(error).split())}",
            hint="compare it with a preset that ships, below configs/",
        ) from None
    settings = (content.get("settings") or {}) if isinstance(content, dict) else None
    if (
        not isinstance(settings, dict)
        or not set(_WORDS) <= set(content) <= {*_WORDS, "settings"}
        or not all(isinstance(content[word], str) for word in _WORDS)
    ):
        raise SettingsError(
            f"{found[name]} must hold title, about, stage and settings, and nothing else",
            hint="compare it with a preset that ships, below configs/",
        )
    return Preset(name, content["title"], content["about"].strip(), content["stage"], settings, found[name])


def _preset_files(folder: str, own: Path | None) -> dict[str, Path]:
    shipped = {path.stem: path for path in (CONFIGS / folder).glob("*.yaml")}
    return shipped | ({path.stem: path for path in own.glob("*.yaml")} if own else {})


def _did_you_mean(name: str, known: list[str]) -> str:
    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return (f"did you mean {lower[close[0]]}? " if close else "") + "There are: " + ", ".join(sorted(known))
