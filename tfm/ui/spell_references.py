"""Commands and settings as a person types them: references of `tfm.core.hints` become command lines, flags and fields.

Every text that reaches a person passes `spell`. Nothing below `ui` knows how a command or a flag is written.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfm.core import command_list
from tfm.core.settings import presets
from tfm.core.settings.spell_settings import assign, assign_part, format_flag
from tfm.ui.translate import translate

if TYPE_CHECKING:
    from tfm.core.runs.workspace import Workspace
    from tfm.core.settings.fields import SettingField

_REFERENCE = re.compile(r"""`(command|setting): ((?:'[^']*'|"[^"]*"|[^`'"])+)`""")
_OF_EVERY_COMMAND = {"workspace", "on", "detach", "quiet", "json", "help"}  # options that no form asks for


@dataclass(frozen=True)
class _Reader:
    workspace: Workspace | None = None
    command: str | None = None
    in_menu: bool = False


_reader: ContextVar[_Reader] = ContextVar("reader", default=_Reader())  # noqa: B039


def set_reader(workspace: Workspace | None, command: str | None = None, *, in_menu: bool = False) -> None:
    """Say who reads what this process prints: in which workspace, and as options of which command or in the menu."""
    _reader.set(_Reader(workspace, command, in_menu))


def spell(text: str) -> str:
    """Translate a text for its reader, and replace each reference in it by what a person types."""
    return _REFERENCE.sub(_spell_reference, translate(text))


def find_commands(text: str) -> list[str]:
    """The command lines that a text refers to."""
    return [_spell_reference(found).strip("`") for found in _REFERENCE.finditer(text) if found[1] == "command"]


def spell_values(value: Any) -> Any:
    """Replace the references in a JSON value, which is the same in every language."""
    if isinstance(value, str):
        return _REFERENCE.sub(_spell_reference, value)
    if isinstance(value, Mapping):
        return {name: spell_values(part) for name, part in value.items()}
    return [spell_values(part) for part in value] if isinstance(value, list | tuple) else value


def write_command_line(words: Sequence[str], workspace: Workspace | None) -> str:
    """Write a command so that it runs when pasted: it starts this program, from this folder, in this workspace."""
    from tfm.core.runs.workspace import DEFAULT_WORKSPACE, Workspace  # not before something is printed: help opens fast

    is_elsewhere = workspace is not None and workspace.root != Workspace(DEFAULT_WORKSPACE).root
    place = ["--workspace", str(workspace.root)] if workspace and is_elsewhere else []
    found = shutil.which("python")
    is_this = found is not None and Path(found).parent == Path(sys.executable).parent
    python = "python" if is_this else _shorten_path(Path(sys.executable))
    return shlex.join([python, _shorten_path(presets.PROJECT / "wizard.py"), *words, *place])


def _spell_reference(reference: re.Match[str]) -> str:
    kind, content = reference.groups()
    words = shlex.split(content)
    reader = _reader.get()
    if kind == "setting":
        name, _, value = words[0].partition("=")
        if not reader.in_menu or name in _OF_EVERY_COMMAND:
            return shlex.join(_format_option(reader.command, name, value))
        label = name if "." in name else translate(name.replace("_", " "))
        return f'"{label}: {value}"' if value else label
    end = words.index("with") if "with" in words else len(words)
    command = words[:end]
    for assignment in words[end + 1 :]:
        name, _, value = assignment.partition("=")
        command += _format_option(words[0], name, value)
    return f"`{write_command_line(command, reader.workspace)}`"


def _format_option(command: str | None, name: str, value: str) -> list[str]:
    if name in _OF_EVERY_COMMAND:
        return [format_flag(name), value] if value not in ("", "true") else [format_flag(name)]
    field = _find_field(command, name)
    if field is None:
        return assign_part(name, value) if value else ["--set", name]
    if value:
        return assign(field, value)
    return [name.upper() if field.is_positional else format_flag(name)]


def _find_field(command: str | None, name: str) -> SettingField | None:
    """A setting of this command, or else of any other: a step of a plan has settings that the plan does not."""
    from tfm.core import registry

    names = command_list.list_commands()
    own = [command] if command and (command in names or "." in command) else []
    for one in dict.fromkeys([*own, *names]):
        fields = {field.name: field for field in registry.find_command(one).list_fields()}
        if name in fields:
            return fields[name]
    return None


def _shorten_path(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
