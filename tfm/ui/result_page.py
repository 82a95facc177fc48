"""What a job found: sentences, tables, pictures and notes. Nothing here draws or asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tfm.core.events import IntervalChart, Note, Picture, Table
from tfm.core.runs.job_folder import Status
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.run_progress import find_score
from tfm.ui import render
from tfm.ui.run_state import RunView

_NO_HEADINGS = ["", ""]


@dataclass(frozen=True)
class ResultPage:
    """`figures` begins with the table to show first; `closing` are notes that say what to do with the result."""

    summary: str
    figures: list[Table | IntervalChart | Picture]
    notes: list[Note]
    closing: list[Note]

    @property
    def main(self) -> Table | None:
        return next((event for event in self.figures if isinstance(event, Table)), None)


def build_page(job: Run | Plan) -> ResultPage:
    """The result of a run, or of the runs of a plan that are done."""
    if isinstance(job, Plan):
        return _build_plan_page(job)
    view = RunView(job)
    view.read_new_events()
    shown = list(view.shown)
    values = render.format_results(job.read_status().result)
    if not any(isinstance(event, Table) for event in shown) and values:
        shown.append(Table("Results", _NO_HEADINGS, [list(row) for row in values.items()]))
    score = find_score(job.read_status().result)
    is_guessing = score is not None and score.name == "val_auc" and score.value <= 0.5
    guessing = "\nIt is no better than guessing on validation." if view.summary and is_guessing else ""
    return ResultPage(view.summary + guessing, shown, list(view.notes), view.closing)


def find_last_run(job: Run | Plan) -> Run | None:
    """The run whose result is that of the job; None while a plan is not done."""
    if isinstance(job, Run) or job.read_status().state != "done":
        return job if isinstance(job, Run) else None
    run_id = job.read_runs().get(job.read_steps()[-1].name)  # None if the last step was skipped
    folder = job.workspace.runs_folder / (run_id or "")
    return Run(folder, job.workspace) if run_id and folder.is_dir() else None


def _build_plan_page(plan: Plan) -> ResultPage:
    """A row for each step. The result of the last run, such as a comparison, comes before it."""
    statuses, listed = plan.read_step_statuses(), JobIndex(plan.workspace).find(plan.id)
    states = listed.steps if listed else {}  # a recorded state does not say whether the run was skipped or halted
    rows = []
    for step in plan.read_steps():
        status = statuses.get(step.name, Status())
        state = "failed" if status.state == "failed" else states.get(step.name, status.state)
        minutes = f"{status.seconds / 60:.1f}" if state == "done" else ""
        rows.append([step.name, state, _describe_score(status.result), minutes])
    steps = Table("", ["step", "state", "score", "minutes"], rows)
    last = find_last_run(plan)
    if last is not None:
        page = build_page(last)
        return replace(page, figures=[*page.figures, steps])
    failed = [row[0] for row in rows if row[1] == "failed"]
    summary = f"{sum(row[1] == 'done' for row in rows)} of {len(rows)} runs are done."
    return ResultPage(f"{summary} {', '.join(failed)} failed." if failed else summary, [steps], [], [])


def _describe_score(result: Mapping[str, Any]) -> str:
    """The score of a training, or what else was measured first."""
    if score := find_score(result):
        return f"{score.name.replace('_', ' ').replace('auc', 'AUC')} {score.value:.3f}"
    measured = [f"{name} {value:.3f}" for name, value in result.items() if isinstance(value, float)]
    return measured[0] if measured else ""
