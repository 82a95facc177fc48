"""Complete commands, options and values in a shell: typer asks the functions here for the values.

typer's own script completes the program by its name, `wizard.py`. bash gets a few lines more, for `python wizard.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tfm.core.runs.workspace import Workspace
    from tfm.core.settings.fields import SettingField

PROGRAM = "wizard.py"
_ASKS = f"_{PROGRAM.upper()}_COMPLETE"  # typer's variable
_BASH_FILE = Path(".bash_completions") / f"{PROGRAM}.sh"  # where typer writes, below the home folder
_FOR_PYTHON = """
_wizard_by_python() {
    [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]##*/} == wizard.py ]] || return
    local program=$1$'\\n'${COMP_WORDS[1]}
    COMP_WORDS=("${COMP_WORDS[@]:1}")
    COMP_CWORD=$((COMP_CWORD - 1))
    _wizardpy_completion "$program"
}

complete -o default -F _wizard_by_python python python3
"""

Complete = Callable[[typer.Context, str], list[str]]


def read_words(environment: Mapping[str, str]) -> list[str]:
    """The words before the one that a shell wants to complete; none if it asks for nothing."""
    if _ASKS not in environment:
        return []
    line = environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS", "")
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is not closed yet
        words = line.split()
    return words[1 : int(environment.get("COMP_CWORD") or len(words))]


def finish_installation(words: Sequence[str]) -> None:
    """Add to what typer printed or installed for bash."""
    import shellingham

    file = Path.home() / _BASH_FILE
    if "--show-completion" in words and shellingham.detect_shell()[0] == "bash":  # typer has detected it too
        typer.echo(_FOR_PYTHON)
    elif "--install-completion" in words and file.exists() and _FOR_PYTHON not in file.read_text(encoding="utf-8"):
        with file.open("a", encoding="utf-8") as script:
            script.write(_FOR_PYTHON)


def complete_field(field: SettingField) -> Complete | None:
    """The values of a setting; None for one that takes any text, where the shell completes files."""

    def list_values(workspace: Workspace) -> list[str]:
        from tfm.core.runs.inputs import list_readable_runs

        kind = field.input.kind if field.input else ""
        if kind in ("dataset", "cache"):
            return workspace.list_products(kind)
        return [run.id for run in list_readable_runs(workspace, field)] if kind == "run" else [*map(str, field.choices)]

    is_listed = field.choices or (field.input and field.input.kind in ("dataset", "cache", "run"))
    return _complete_in_workspace(list_values) if is_listed else None


def complete_presets(folder: str, default: str | None) -> Complete:
    return _complete_in_workspace(lambda workspace: workspace.list_presets(folder, default))


def _list_jobs(workspace: Workspace) -> list[str]:
    folders = [*workspace.runs_folder.glob("*/status.json"), *workspace.plans_folder.glob("*/status.json")]
    return sorted((file.parent.name for file in folders), reverse=True)


def _list_clusters(workspace: Workspace) -> list[str]:
    from tfm.core.runs.cluster import THIS_MACHINE, list_clusters

    return [THIS_MACHINE, *list_clusters(workspace)]


def _complete_in_workspace(list_values: Callable[[Workspace], list[str]]) -> Complete:
    def complete(context: typer.Context, incomplete: str) -> list[str]:
        from tfm.ui.workspace_and_errors import open_workspace

        before, comma, last = incomplete.rpartition(",")
        workspace = open_workspace(context, context.params.get("workspace"))
        return [f"{before}{comma}{value}" for value in list_values(workspace) if value.startswith(last)]

    return complete


complete_jobs = _complete_in_workspace(_list_jobs)
complete_clusters = _complete_in_workspace(_list_clusters)
