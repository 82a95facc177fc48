"""Presets: named settings in YAML files, below configs/ or in a folder of the workspace.

How a preset becomes the settings of a run is in `runs.command_settings`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfm.core import files
from tfm.core.errors import SettingsError

PROJECT = Path(__file__).resolve().parents[3]
CONFIGS = PROJECT / "configs"


@dataclass(frozen=True)
class Preset:
    """A choice of a menu: the settings of a command, with a title and a text about them."""

    name: str
    title: str
    about: str
    stage: str
    settings: dict[str, Any]
    file: Path


_TEXTS = ("title", "about", "stage")


def list_presets(folder: str, own: Path | None = None, like: str | None = None) -> list[str]:
    """List the presets of a folder; with `like`, those that start the same command as that preset, and any that cannot
    be read."""
    names = sorted(_find_files(folder, own))
    if like is None:
        return names
    wanted = _read_stage(folder, like, own)
    return [name for name in names if _read_stage(folder, name, own) in (wanted, None)]


def _read_stage(folder: str, name: str, own: Path | None) -> str | None:
    try:
        return load_preset(folder, name, own).stage
    except SettingsError:  # raised again when the preset is shown
        return None


def load_preset(folder: str, name: str, own: Path | None = None) -> Preset:
    """Load a preset from configs/`folder` or from the user's `own` folder."""
    found = _find_files(folder, own)
    if name not in found:
        kind = "model" if folder == "models" else "preset"
        raise SettingsError(f"there is no {kind} called {name!r}", hint=suggest_names(name, list(found)))
    if own and (own / f"{name}.yaml") == found[name] and (CONFIGS / folder / f"{name}.yaml").exists():
        raise SettingsError(
            f"{found[name]} has the name of a preset that ships", hint="rename the file: a preset is named by its file"
        )
    try:
        content = files.read_yaml(found[name])
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{found[name]} cannot be read as YAML: {error}",
            hint="compare it with a preset that ships, below configs/",
        ) from None
    settings = (content.get("settings") or {}) if isinstance(content, dict) else None
    if (
        not isinstance(settings, dict)
        or not set(_TEXTS) <= set(content) <= {*_TEXTS, "settings"}
        or not all(isinstance(content[name], str) for name in _TEXTS)
    ):
        raise SettingsError(
            f"{found[name]} must contain title, about, stage and settings, and nothing else",
            hint="compare it with a preset that ships, below configs/",
        )
    return Preset(name, content["title"], content["about"].strip(), content["stage"], settings, found[name])


def _find_files(folder: str, own: Path | None) -> dict[str, Path]:
    shipped = {path.stem: path for path in (CONFIGS / folder).glob("*.yaml")}
    return shipped | ({path.stem: path for path in own.glob("*.yaml")} if own else {})


def suggest_names(name: str, known: list[str]) -> str:
    """A hint for an unknown name: the most similar known one, and all of them."""
    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return (f"did you mean {lower[close[0]]}? " if close else "") + "There are: " + ", ".join(sorted(known))
