"""What a form shows around its questions: its header, the summary before the start, and problems."""

from __future__ import annotations

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.ui.equivalent_command_line import write_command
from tfm.ui.field_prompts import PLACE_QUESTION, format_name, format_value
from tfm.ui.form_state import FormState
from tfm.ui.spell_references import spell

_MOST_NAMES = 6


def print_header(state: FormState, console: Console) -> None:
    console.print(Panel(spell(registry.find_command(state.stage).summary), title=state.stage, border_style="cyan"))
    answered = {"preset": ", ".join(state.presets)} if state.presets else {}
    answered |= {name: format_value(value) for name, value in state.given.items()}
    for name, value in answered.items():
        line = Text(f"  {format_name(name)}: ").append(value, style="cyan")
        console.print(line.append("  detected in the data", style="dim") if name in state.fixed else line)


def print_problem(error: TFMError, console: Console) -> None:
    console.print(
        Panel(Text(spell(f"{error.message}\n\n{error.hint}")), title="cannot start yet", border_style="yellow")
    )


def print_summary(state: FormState, console: Console) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2))
    given = state.given
    effective = [field for field in state.fields if field.name not in state.ineffective]
    fields = [field for field in effective if field.is_important or field.name in given]
    for field, value in zip(fields, state.resolve_values(fields), strict=True):
        table.add_row(Text(spell(field.question)), Text(format_value(value), style="cyan"))
    for name in given:
        if "." in name:
            table.add_row(name, Text(format_value(given[name]), style="cyan"))
    if state.on:
        table.add_row(PLACE_QUESTION, Text(state.on, style="cyan"))
    queue = state.list_queue()
    if queue:
        names = queue if len(queue) <= _MOST_NAMES else [*queue[: _MOST_NAMES - 1], "…", queue[-1]]
        table.add_row(f"A queue of {len(queue)} runs", Text(", ".join(names), style="cyan"))
    console.print(Panel(table, title="ready to start", border_style="green"))
    console.print("The same from a command line:", style="dim")
    console.print(Text(write_command(state.filled_form, state.workspace)), soft_wrap=True)
