"""The review screen of a form: one line for each setting that matters, then Start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.core.events import Note
from tfm.core.runs.cluster import THIS_MACHINE, list_clusters
from tfm.core.settings.fields import SettingField
from tfm.ui import render
from tfm.ui.chosen_presets import VARIES
from tfm.ui.field_prompts import explain_field, format_name, format_value
from tfm.ui.form_state import FormState
from tfm.ui.prompts import Choice, Question
from tfm.ui.spell_references import spell
from tfm.ui.watch_preview import ShownEvent

_MOST_NAMES = 4
_MOST_ROWS, _LINES_AROUND = 12, 5  # a longer list scrolls
_WHY = "Choose a line to change it. Everything that is not here keeps its default; More settings shows it."


def build_review(state: FormState, problem: TFMError | None, fields: Sequence[str], *, has_details: bool) -> Question:
    """Rows for what was asked, what matters and what was changed; `fields` are those that the problem names."""
    named = {*state.given, *fields}
    shown = [field for field in state.list_review_fields() if field.is_important or field.name in named]
    values = state.read_values(shown)
    rows = [*_list_preset_rows(state)]
    rows += [_build_row(field, values[field.name], state, is_wrong=field.name in fields) for field in shown]
    if list_clusters(state.workspace):
        rows.append(Choice("place", "Where to run", state.on or THIS_MACHINE))
    rows.append(Choice("change", "More settings …"))
    queue = [] if problem else state.list_queue()
    if problem is None:
        rows += [Choice("trial", "Try it on a few images")] if state.trial else []
        rows += [Choice("start", "Start"), Choice("command", "Show the command")]
    first_wrong = next((name for name in fields if any(row.value == name for row in rows)), "change")
    return Question(
        "review",
        describe_work(state) + (f", {len(queue)} runs" if queue else ""),
        _WHY,
        rows,
        default=first_wrong if problem else "start",
        actions=({"r": "reset"} if state.answers else {}) | ({"d": "details"} if has_details else {}),
    )


def describe_work(state: FormState) -> str:
    """What Start starts, such as "train 2 models on practice-fast"."""
    values = state.read_values([field for field in state.fields if field.name in ("cache", "dataset")])
    inputs = [str(values[name]) for name in ("cache", "dataset") if values.get(name)]
    what = [format_value(list(state.presets))] if len(state.presets) <= 1 else [f"{len(state.presets)} models"]
    words = [state.stage.capitalize(), *(what if state.presets else []), *([f"on {inputs[0]}"] if inputs else [])]
    return " ".join(map(spell, words))


def build_settings_question(state: FormState, changeable: Mapping[str, SettingField], chosen: str | None) -> Question:
    """All settings with their values, the cursor on the chosen one; `/` filters them."""
    values = state.read_values(list(changeable.values()))
    choices: list[Choice] = []
    for name, field in changeable.items():
        section = field.group if "." not in name else name.partition(".")[0]
        value = describe_value(field, values[name], state)
        card, why = _write_card(field, values[name], state), explain_field(field)
        choices.append(Choice(name, format_name(name), value, section=section, card=card, why=why))
    choices.sort(key=lambda choice: bool(choice.section))  # below a section's title they would seem to belong to it
    why = "Type / and a part of its name to find a setting."
    return Question("setting", "Which setting?", why, choices, default=chosen, head="")


def describe_value(field: SettingField, value: Any, state: FormState) -> str:
    if field.parts:
        on = [part for part, is_on in value.items() if is_on is True]
        return f"{len(on)} of {len(value)}"
    if value == VARIES:
        own = [*dict.fromkeys(map(format_value, state.list_preset_values(field)))]
        return f"as each model suggests ({', '.join(own[:_MOST_NAMES])}{', …)' if len(own) > _MOST_NAMES else ')'}"
    if field.input and field.input.kind == "run" and isinstance(value, list) and len(value) > 1:
        return f"{len(value)} runs"
    return spell(format_value(value))


def draw_problem(problem: TFMError) -> RenderableType:
    text = Text(spell(f"{problem.message}\n{problem.hint}"))
    return Panel(text, title="cannot start yet", title_align="left", border_style="yellow")


def count_lines(rows: int) -> int:
    """The lines that a question with so many rows needs, and its keys and card."""
    return min(rows, _MOST_ROWS) + _LINES_AROUND


def draw_events(events: Sequence[ShownEvent], console: Console, room: int | None) -> RenderableType:
    """All events, or as many as there is room for: the warnings, then the last ones, which say what Start does."""
    drawn = [
        render.format_note(event) if isinstance(event, Note) else render.draw_event(event, console) for event in events
    ]
    if room is None:
        return Group(*drawn)
    is_warning = [isinstance(event, Note) and event.level == "warning" for event in events]
    kept = []
    for index in sorted(range(len(events)), key=lambda index: (not is_warning[index], -index)):
        lines = len(console.render_lines(drawn[index]))
        if lines <= room:
            kept.append(index)
            room -= lines
    return Group(*(drawn[index] for index in sorted(kept)))


def _list_preset_rows(state: FormState) -> list[Choice]:
    stage = registry.find_command(state.stage)
    if not isinstance(stage, registry.Stage) or stage.presets is None:
        return []
    if stage.default_preset is None:
        return [Choice("preset", "Models", format_value(list(state.presets)))]
    if state.workspace.list_presets(stage.presets, stage.default_preset) == [stage.default_preset]:
        return []
    return [Choice("preset", "Preset", (state.presets or (stage.default_preset,))[0])]


def _build_row(field: SettingField, value: Any, state: FormState, *, is_wrong: bool) -> Choice:
    mark = "  ← change this" if is_wrong else "  (found in the data)" if field.name in state.fixed else ""
    name = format_name(field.name)
    return Choice(
        field.name,
        name[:1].upper() + name[1:],
        describe_value(field, value, state) + mark,
        card=_write_card(field, value, state),
        why=explain_field(field),
    )


def _write_card(field: SettingField, value: Any, state: FormState) -> str:
    """The question of a setting; where the models differ, also which of them suggests which value."""
    text = spell(field.question)
    if value != VARIES:
        return text
    names: dict[str, list[str]] = {}
    for preset, own in zip(state.presets, state.list_preset_values(field), strict=True):
        names.setdefault(format_value(own), []).append(preset)
    return "\n".join([text, *(f"{own}: {', '.join(presets)}" for own, presets in names.items())])
