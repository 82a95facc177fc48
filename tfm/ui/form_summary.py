"""What a form shows around its questions: the stage, what was answered, what will run, why it cannot yet."""

from __future__ import annotations

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tfm.core import registry
from tfm.core.errors import TFMError
from tfm.ui.command_line import write_command
from tfm.ui.field_prompts import format_name, format_value
from tfm.ui.form_state import FormState
from tfm.ui.spelling import spell

_NAMED = 6


def print_header(draft: FormState, console: Console) -> None:
    console.print(Panel(spell(registry.summary(draft.stage)), title=draft.stage, border_style="cyan"))
    answered = {"preset": ", ".join(draft.presets)} if draft.presets else {}
    answered |= {name: format_value(value) for name, value in draft.given.items()}
    for name, value in answered.items():
        line = Text(f"  {format_name(name)}: ").append(value, style="cyan")
        console.print(line.append("  as found", style="dim") if name in draft.settled else line)


def print_problem(trouble: TFMError, console: Console) -> None:
    console.print(Panel(Text(spell(f"{trouble.message}\n\n{trouble.hint}")), title="not yet", border_style="yellow"))


def _shorten_names(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _NAMED else [*names[: _NAMED - 1], "…", names[-1]])


def print_summary(draft: FormState, console: Console) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2))
    given = draft.given
    idle = draft.ineffective
    told = [field for field in draft.fields if field.name not in idle and (field.is_important or field.name in given)]
    for field, value in zip(told, draft.resolve_values(told), strict=True):
        table.add_row(Text(spell(field.question)), Text(format_value(value), style="cyan"))
    for name in given:
        if "." in name:
            table.add_row(name, Text(format_value(given[name]), style="cyan"))
    queue = draft.list_queue()
    if queue:
        table.add_row(f"A queue of {len(queue)} runs", Text(_shorten_names(queue), style="cyan"))
    console.print(Panel(table, title="this will run", border_style="green"))
    console.print("The same from a command line:", style="dim")
    console.print(Text(write_command(draft.filled_form, draft.workspace)), soft_wrap=True)
