"""Build the question that asks for a setting, and format values for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfm.core.errors import SettingsError
from tfm.core.runs.cluster import THIS_MACHINE, list_clusters, load_cluster
from tfm.core.runs.inputs import list_readable_runs, list_runs_with_weights
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField
from tfm.core.settings.spell_settings import format_flag
from tfm.ui.chosen_presets import VARIES
from tfm.ui.prompts import Choice, Question
from tfm.ui.spell_references import spell

PLACE_QUESTION = "Where should it run?"
_ABOUT_PLACES = """\
Where should it run?
A cluster makes each run a job in its queue, and works on several at the same time. You can leave: it goes on by itself.
To set up another cluster, copy configs/clusters/example.yaml to clusters/ in your workspace and change what differs.
(on a command line: --on)"""
WEIGHTS_FILE = "file:"  # the choice of a file that is asked for next
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")  # an empty line between two paragraphs stays
_AS_SUGGESTED = "as each model suggests"


def build_question(
    field: SettingField, default: Any, workspace: Workspace, preset_values: Sequence[Any] = ()
) -> Question:
    """Ask for a setting. `preset_values` are its values in the chosen presets."""
    text = spell(field.question)
    why = explain_field(field)
    if field.parts:
        return _build_parts_question(field, text, why, default or {})
    choices = _list_choices(field, workspace)
    if choices:
        own = ", ".join(format_value(value) for value in preset_values)
        varies = [Choice(VARIES, "as each model suggests", own)] if len(set(map(str, preset_values))) > 1 else []
        plain = convert_to_plain(default)
        return Question(
            field.name, text, why, [*varies, *choices], field.is_list, plain, optional=not field.is_required
        )

    def check(text: str) -> Any:
        return VARIES if text == _AS_SUGGESTED else field.parse(text)

    shown = _AS_SUGGESTED if default == VARIES else format_text(default)
    return Question(field.name, text, why, default=shown, check=check, is_path=field.is_path)


def explain_field(field: SettingField) -> str:
    """Its question, its explanation without the line breaks of the source, and its flag."""
    explanation = _LINE_BREAK.sub(" ", spell(field.explanation))
    return "\n".join(filter(None, [spell(field.question), explanation, _describe_flag(field)]))


def build_file_question(field: SettingField) -> Question:
    """Ask for the file of the weights."""
    return Question(
        "file", "Which file has the weights?", spell(field.explanation), check=lambda text: field.parse(f"file:{text}"),
        is_path=True,
    )  # fmt: skip


def build_place_question(workspace: Workspace, chosen: str | None) -> Question:
    """Ask on which of the clusters a job should run, or whether on this machine."""
    choices = [Choice(THIS_MACHINE, "this machine")]
    for name in list_clusters(workspace):
        try:
            partition = load_cluster(workspace, name).partition
            choices.append(Choice(name, name, f"partition {partition}" if partition else "its default partition"))
        except SettingsError as error:
            choices.append(Choice(name, name, disabled=spell(error.message)))
    return Question("place", PLACE_QUESTION, _ABOUT_PLACES, choices, default=chosen or THIS_MACHINE)


def _describe_flag(field: SettingField) -> str:
    if field.is_positional:
        return ""
    option = f"--set {field.name}=…" if "." in field.name else format_flag(field.name)
    if field.parts:
        part = next(iter(field.parts))
        option = f"--set {part}=true, --set {part}=false"
    return f"(on a command line: {option})"


def _build_parts_question(field: SettingField, text: str, why: str, switches: Mapping[str, Any]) -> Question:
    """Checkboxes; a part in which several presets differ is disabled, and each preset keeps its own."""
    choices = []
    for part in dict.fromkeys([*switches, *field.parts]):
        about = spell(field.parts[part].__doc__ or "").strip().split("\n", 1)[0]
        choices.append(Choice(part, part, about, disabled=VARIES if switches.get(part) == VARIES else None))
    default = [part for part, on in switches.items() if on is True]
    return Question(field.name, text, why, choices, several=True, optional=True, default=default)


def _list_choices(field: SettingField, workspace: Workspace) -> list[Choice]:
    if field.is_bool:
        return [Choice(True, "yes"), Choice(False, "no")]
    kind = field.input.kind if field.input else ""
    if kind in ("dataset", "cache"):
        choices = [Choice(name, name) for name in workspace.list_products(kind)]
        return [Choice(None, "none"), *choices] if field.is_optional else choices
    if kind == "weights":
        return _list_weights(workspace)
    if field.input and kind == "run":
        choices = [Choice(run.id, run.id) for run in reversed(list_readable_runs(workspace, field))]
        if not choices and field.is_list:
            return [Choice(None, "none yet", disabled=f"there is no run of {' or '.join(field.input.made_by)} yet")]
    else:
        meanings = field.choice_explanations
        choices = [Choice(value, str(value), spell(meanings.get(value, ""))) for value in field.choices]
    can_be_none = (kind == "run" or choices) and field.is_optional and not field.is_list
    return [*([Choice(None, "none")] if can_be_none else []), *choices]


def _list_weights(workspace: Workspace) -> list[Choice]:
    return [
        Choice("none", "none", "start from random weights"),
        Choice("imagenet", "ImageNet", "weights trained on photographs"),
        *(Choice(f"run:{run.id}", run.id, model) for run, model in list_runs_with_weights(workspace)),
        Choice(WEIGHTS_FILE, "a file …", "weights in a .pth or .safetensors file"),
    ]


def convert_to_plain(value: Any) -> Any:
    """Convert to a value that YAML and JSON can hold."""
    if isinstance(value, list | tuple):
        return [convert_to_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)


def format_text(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return None if value is None else str(value)


def format_name(name: str) -> str:
    """The name of a setting for a person; a setting of a part keeps its dotted name."""
    return name if "." in name else name.replace("_", " ")


def format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(value)
    return format_text(value) or "—"
