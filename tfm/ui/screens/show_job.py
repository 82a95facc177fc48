"""Everything about one run or plan: first what came out, then what a person chose, and all settings on request."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text

from tfm.core.errors import TFMError
from tfm.core.runs.changed_settings import list_changed_settings
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.ui.field_prompts import format_name, format_value
from tfm.ui.runs_table import STEP_COLUMNS, format_steps, print_rows
from tfm.ui.screens import job_end


def print_job(job: Run | Plan, console: Console) -> None:
    listed = JobIndex(job.workspace).find(job.id)
    console.print(Text(listed.name if listed else "", "bold").append(f"  {job.id}", "not bold dim"))
    job_end.print_end(job, console)
    console.print()
    print_choices(job, console)


def print_choices(job: Run | Plan, console: Console) -> None:
    """Print what a person chose: settings of a run, steps of a plan."""
    if isinstance(job, Run):
        console.print(_draw_choices(job))
    elif not job.read_runs():
        print_steps(job, console)


def print_settings(job: Run | Plan, console: Console) -> None:
    """Print the file with all settings, or all steps of a plan with their runs and settings."""
    if isinstance(job, Plan):
        print_steps(job, console)
    file = job.settings_file if isinstance(job, Run) else job.steps_file
    content = Segment(file.read_text(encoding="utf-8"), Style(dim=True))
    console.print(Segments([content]))  # which nothing translates


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


def print_steps(plan: Plan, console: Console) -> None:
    """Print the steps of a plan with their states; the name of a step finds its run."""
    index = JobIndex(plan.workspace)
    if listed := index.find(plan.id):
        print_rows(STEP_COLUMNS, format_steps(index, listed), console)
