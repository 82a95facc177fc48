"""Everything about one run or plan: first what came out, then what a person chose, and all settings on request."""

from __future__ import annotations

import contextlib

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.runs.changed_settings import list_changed_settings
from tfm.core.runs.job_index import JobIndex, shorten_id
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui.field_prompts import format_name, format_value
from tfm.ui.job_words import describe_state
from tfm.ui.runs_table import COLUMNS, format_cells
from tfm.ui.screens import job_end


def print_job(job: Run | Plan, console: Console) -> None:
    console.print(Text(shorten_id(job.id), "bold").append(f"  {job.id}", "not bold dim"))
    job_end.print_end(job, console)
    console.print()
    print_choices(job, console)


def print_choices(job: Run | Plan, console: Console) -> None:
    """Print what a person chose: settings of a run, steps of a plan."""
    if isinstance(job, Run):
        console.print(_draw_choices(job))
    elif not job.read_runs():
        console.print(draw_steps(job))


def print_settings(job: Run | Plan, console: Console) -> None:
    """Print the file with all settings, or all steps of a plan with their runs and settings."""
    if isinstance(job, Plan):
        console.print(draw_steps(job))
    file = job.settings_file if isinstance(job, Run) else job.steps_file
    console.print(file.read_text(encoding="utf-8"), style="dim", highlight=False, markup=False)


def _draw_choices(run: Run) -> Table | Text:
    """The settings that differ from those of the preset."""
    changed = []
    with contextlib.suppress(TFMError):  # of a run with damaged settings, the end says so
        changed = list_changed_settings(run)
    preset = ""
    with contextlib.suppress(TFMError):
        preset = run.read_preset() or ""
    if not changed:
        return Text("All settings have their defaults.", "dim")
    table = Table(title=Text("What was chosen"), title_justify="left", title_style="bold", box=None, show_header=False)
    for one in changed:
        origin = "" if one.before is None else f"{'preset' if preset else 'default'}: {format_value(one.before)}"
        table.add_row(format_name(one.name), Text(format_value(one.value), "cyan"), Text(origin, "dim"))
    return table


def draw_steps(plan: Plan) -> Table:
    """The steps of a plan with their states, and the runs to show."""
    index = JobIndex(plan.workspace)
    listed = index.find(plan.id)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold cyan", padding=(0, 1, 0, 0), show_edge=False)
    for column in ("step", *COLUMNS[1:3], "run"):
        table.add_column(column, overflow="fold")
    for step, state in (listed.steps if listed else {}).items():
        run = index.find(plan.read_runs().get(step, ""))
        cells = format_cells(run) if run else ("", "", "")
        words = describe_state(run) if run and state == run.state else state
        table.add_row(Text(step), Text(words), Text(cells[2]), Text(run.job.id if run else ""))
    return table
