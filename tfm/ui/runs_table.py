"""The table of runs: its columns, the most important first, and its rows, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfm.core.runs.job_index import JobIndex, ListedJob
from tfm.core.runs.slurm_queue import look_up_placement
from tfm.ui import render
from tfm.ui.job_words import describe_state, format_score, format_start

COLUMNS = ("run", "state", "validation", "time", "started", "model")
STEP_COLUMNS = ("step", "state", "validation", "time")
_GAP = 2


def select_jobs(index: JobIndex, words: Sequence[str] = (), *, everything: bool = False) -> list[ListedJob]:
    """The newest first; with words, those whose row contains all of them.

    Args:
        everything: Also the runs of plans and the trials of studies.
    """
    jobs = (index.everything if everything else index.top)[::-1]
    wanted = [word.lower() for word in words]
    return [one for one in jobs if all(word in " ".join([*format_cells(one), one.job.id]).lower() for word in wanted)]


def format_cells(listed: ListedJob) -> tuple[str, ...]:
    """The cells of a row. A model that the name says already is left out."""
    seconds = listed.job.read_seconds_spent() if listed.state == "running" else listed.status.seconds
    return (
        listed.name,
        describe_state(listed),
        format_score(listed.score),
        render.format_duration(seconds) if seconds else "",
        format_start(listed.status.created),
        "" if listed.model in listed.name else listed.model,
    )


def format_steps(index: JobIndex, listed: ListedJob) -> list[tuple[str, ...]]:
    """The cells of each step of a plan. Of a step that waits on a cluster, what Slurm says."""
    queued = look_up_placement(listed.job.folder) or {}
    rows: list[tuple[str, ...]] = []
    for step, state in listed.steps.items():
        run = index.find(listed.status.runs.get(step, ""))
        _, words, score, time, *_ = format_cells(run) if run else ("",) * len(COLUMNS)
        if run is None or state != run.state:
            words = queued[step].words if state == "waiting" and step in queued else state
        rows.append((step, words, score, time))
    return rows


def print_jobs(jobs: Sequence[ListedJob], console: Console) -> None:
    print_rows(COLUMNS, [format_cells(one) for one in jobs], console)


def print_rows(headings: Sequence[str], rows: Sequence[tuple[str, ...]], console: Console) -> None:
    """Print the columns that fit into a terminal; elsewhere all of them. An empty column is left out."""
    columns = [column for column in zip(headings, *rows, strict=True) if any(column[1:])]
    widths = [max(map(cell_len, column)) for column in columns]
    ends = accumulate(wide + _GAP for wide in widths)
    shown = max(2, sum(end - 1 <= console.width for end in ends)) if console.is_terminal else len(columns)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold cyan", padding=(0, _GAP - 1, 0, 0), show_edge=False)
    for (heading, *_), wide in zip(columns[:shown], widths, strict=False):
        table.add_column(heading, no_wrap=True, min_width=None if console.is_terminal else wide)
    for cells in zip(*(column[1:] for column in columns[:shown]), strict=True):
        style = render.format_state(cells[1].partition(",")[0]).style
        table.add_row(*(Text(cell, style if place == 1 else "") for place, cell in enumerate(cells)))
    console.print(table, soft_wrap=not console.is_terminal)
