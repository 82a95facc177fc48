"""One setting as one question: its choices, its default, its check; and values as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfm.core.runs.inputs import readable_runs
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import Leaf
from tfm.ui.prompts import Choice, Question

EACH_ITS_OWN = "each its own"  # what several presets say where they differ


def question_for(leaf: Leaf, default: Any, workspace: Workspace) -> Question:
    why = "\n".join(filter(None, [leaf.question, leaf.explanation, _on_a_command_line(leaf)]))
    if leaf.parts:
        return _which_parts(leaf, why, default or {})
    choices = _choices(leaf, workspace)
    if choices and default == EACH_ITS_OWN:
        choices.insert(0, Choice(EACH_ITS_OWN, EACH_ITS_OWN))
    if choices:
        return Question(
            leaf.name,
            leaf.question,
            why,
            choices,
            several=leaf.is_list,
            optional=not leaf.required,
            default=plain(default),
        )

    def check(text: str) -> Any:
        return text if text == default == EACH_ITS_OWN else leaf.parse(text)

    return Question(leaf.name, leaf.question, why, default=as_text(default), check=check, is_path=leaf.is_path)


def _on_a_command_line(leaf: Leaf) -> str:
    if leaf.positional:
        return ""
    if leaf.parts:
        part = next(iter(leaf.parts))
        return f"(on a command line: --set {part}=true, --set {part}=false)"
    option = f"--set {leaf.name}=…" if "." in leaf.name else f"--{leaf.name.replace('_', '-')}"
    return f"(on a command line: {option})"


def _which_parts(leaf: Leaf, why: str, switched: Mapping[str, Any]) -> Question:
    """Boxes to tick; where several presets differ, each keeps its own. That none is no answer is for the setting's own
    type to say."""
    choices = [
        Choice(
            part,
            part,
            (leaf.parts[part].__doc__ or "").strip().split("\n", 1)[0],
            disabled=EACH_ITS_OWN if switched.get(part) == EACH_ITS_OWN else None,
        )
        for part in dict.fromkeys([*switched, *leaf.parts])
    ]
    default = [part for part, on in switched.items() if on is True]
    return Question(leaf.name, leaf.question, why, choices, several=True, optional=True, default=default)


def _choices(leaf: Leaf, workspace: Workspace) -> list[Choice]:
    if leaf.reads and leaf.reads.kind in ("dataset", "cache"):
        return [Choice(name, name) for name in workspace.products(leaf.reads.kind)]
    if leaf.reads and leaf.reads.kind == "run":
        return [*_without(leaf), *(Choice(run.id, run.id) for run in reversed(readable_runs(workspace, leaf)))]
    if leaf.is_bool:
        return [Choice(True, "yes"), Choice(False, "no")]
    return [*_without(leaf), *(Choice(value, str(value)) for value in leaf.choices)] if leaf.choices else []


def _without(leaf: Leaf) -> list[Choice]:
    return [Choice(None, "none")] if leaf.optional and not leaf.is_list else []


def plain(value: Any) -> Any:
    """As YAML and JSON can keep it."""
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)


def as_text(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return None if value is None else str(value)


def called(name: str) -> str:
    """A setting's name for a person; one that reaches into a part stays as it is typed."""
    return name if "." in name else name.replace("_", " ")


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(value)
    return as_text(value) or "—"
