"""The commands that ship, in the order of the menu, with their help texts.

Listing reads files and imports no command, so that the first screen opens fast. `registry` imports commands.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from tfm.core import files
from tfm.core.errors import SettingsError
from tfm.core.settings.presets import CONFIGS, PROJECT, suggest_names

COMMANDS = PROJECT / "tfm" / "commands"
MENU = CONFIGS / "menu.yaml"


def list_sections() -> dict[str, list[str]]:
    """Map each section of the menu to its commands. Commands that configs/menu.yaml omits are in the last one."""
    ordered: dict[str, list[str]] = files.read_yaml(MENU)["commands"]
    shipped = {module.replace("_", "-") for module in _list_modules()}
    sections = {title: [name for name in names if name in shipped] for title, names in ordered.items()}
    sections[list(sections)[-1]] += sorted(shipped.difference(*sections.values()))
    return {title: names for title, names in sections.items() if names}


def list_commands() -> list[str]:
    return [name for names in list_sections().values() for name in names]


def is_shipped(name: str) -> bool:
    return name.replace("-", "_") in _list_modules()


@functools.cache
def _list_modules() -> frozenset[str]:
    return frozenset(path.stem for path in COMMANDS.glob("[!_]*.py"))


def find_file(name: str) -> Path:
    """The file of a command. Refuses every name that does not ship."""
    if not is_shipped(name):
        raise SettingsError(f"there is no command called {name[:60]!r}", hint=suggest_names(name, list_commands()))
    return COMMANDS / f"{name.replace('-', '_')}.py"


def read_summary(name: str) -> str:
    """The first line of a command's help."""
    return _read_docstring(name).partition("\n")[0]


def read_explanation(name: str) -> str:
    """A command's help without its first line."""
    return _read_docstring(name).partition("\n")[2].strip()


@functools.cache
def _read_docstring(name: str) -> str:
    return ast.get_docstring(ast.parse(find_file(name).read_text(encoding="utf-8"))) or name
