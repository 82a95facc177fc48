"""The runs and plans of a workspace as a list shows them, read again only where a file changed.

One index serves a whole screen. Only jobs that say they are running are looked up: by their lock, or in Slurm's queue.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tfm.core.errors import RunError
from tfm.core.runs.job_folder import Status
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.run import Run
from tfm.core.runs.run_progress import SCORES, Count, Score, find_score, read_best_score, read_progress
from tfm.core.runs.workspace import Workspace

T = TypeVar("T")
_ID = re.compile(r"\d{4}-\d\d-\d\d_(.+)_([0-9a-f]{6})")
_REPEAT = re.compile(r"(-[a-z]+\d+)+$")  # in the name of a run of a queue, such as -fold2-seed8
_UNFINISHED = ("running", "paused", "halted", "failed")  # the states in which progress is worth reading


@dataclass(frozen=True)
class ListedJob:
    """A run or plan in a list.

    Attributes:
        name: Short, and of no other listed job; the rest of the id is added only where two names are equal.
        stage: The command of a run; empty for a plan and for a damaged run.
        model: The model of a run, if it has one.
        owner: The id of the plan or study that a run belongs to.
        steps: The state of each step of a plan.
    """

    job: Run | Plan
    status: Status
    name: str
    stage: str = ""
    model: str = ""
    owner: str = ""
    progress: Count | None = None
    score: Score | None = None
    is_dismissed: bool = False
    steps: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return self.status.state


class JobIndex:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.runs: list[ListedJob] = []  # newest last, like the plans
        self.plans: list[ListedJob] = []
        self._jobs: dict[str, Run | Plan] = {}
        self._memory: dict[Path, tuple[tuple[int, ...] | None, Any]] = {}
        self.refresh()

    @property
    def top(self) -> list[ListedJob]:
        """What a person started: plans, and runs that belong to no plan and no study; newest last."""
        alone = [run for run in self.runs if not run.owner]
        return sorted([*self.plans, *alone], key=lambda one: one.status.created)

    @property
    def everything(self) -> list[ListedJob]:
        return sorted([*self.plans, *self.runs], key=lambda one: one.status.created)

    def find(self, job_id: str) -> ListedJob | None:
        return next((one for one in (*self.runs, *self.plans) if one.job.id == job_id), None)

    def refresh(self) -> None:
        """Read what changed. Never raises for a damaged job: it must not hide the others."""
        plans = [(job, self._read_plan_status(job)) for job in self._list_jobs(self.workspace.plans_folder)]
        steps = {run: (job.id, step) for job, status in plans for step, run in status.runs.items()}
        runs = [(job, self._read_status(job)) for job in self._list_jobs(self.workspace.runs_folder)]
        listed = [self._list_run(job, status, steps) for job, status in runs if isinstance(job, Run)]
        by_id = {one.job.id: one for one in listed}
        listed += [self._list_plan(job, status, by_id) for job, status in plans if isinstance(job, Plan)]
        named = sorted(_tell_apart(listed), key=lambda one: one.status.created)
        self.runs = [one for one in named if isinstance(one.job, Run)]
        self.plans = [one for one in named if isinstance(one.job, Plan)]

    def _list_jobs(self, parent: Path) -> list[Run | Plan]:
        try:
            names = [entry.name for entry in os.scandir(parent) if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
        return [job for name in names if (job := self._open(parent, name)) is not None]

    def _open(self, parent: Path, name: str) -> Run | Plan | None:
        if name not in self._jobs:
            kind = Plan if parent == self.workspace.plans_folder else Run
            try:
                self._jobs[name] = kind(parent / name, self.workspace)
            except RunError:  # a folder without a status is no job
                return None
        return self._jobs[name]

    def _read_if_changed(self, file: Path, read: Callable[[], T]) -> T:
        """What `read` makes of a file, from memory if the file is as it was. A file has one such function."""
        try:
            found = file.stat()
            stamp: tuple[int, ...] | None = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            stamp = None
        if file not in self._memory or self._memory[file][0] != stamp:
            self._memory[file] = (stamp, read())
        value: T = self._memory[file][1]
        return value

    def _read_status(self, job: Run | Plan) -> Status:
        """The recorded status, completed if the job has not ended."""
        try:
            recorded: Status = self._read_if_changed(job.folder / "status.json", job.read_recorded_status)
            return job.find_current_status(recorded)
        except RunError as error:
            return Status(state="damaged", message=error.message, hint=error.hint)

    def _read_plan_status(self, plan: Run | Plan) -> Status:
        assert isinstance(plan, Plan)
        status = self._read_status(plan)
        if status.state == "damaged":
            return status
        return replace(status, runs=self._read_if_changed(plan.steps_folder, plan.read_runs))

    def _list_run(self, run: Run, status: Status, steps: dict[str, tuple[str, str]]) -> ListedJob:
        def read_head() -> tuple[str, str | None]:
            try:
                return run.read_head()
            except RunError:
                return "", None

        stage, preset = self._read_if_changed(run.settings_file, read_head)
        plan, step = steps.get(run.id, ("", ""))
        listed = ListedJob(
            run,
            status,
            name=step or shorten_id(run.id),
            stage=stage,
            model=str(status.result.get("model") or preset or ""),
            owner=status.part_of or plan,
            score=find_score(status.result),
            is_dismissed=status.state == "failed" and run.is_dismissed(),
        )
        if status.state not in _UNFINISHED:
            return listed
        progress = self._read_if_changed(run.events_file, lambda: read_progress(run))
        return replace(
            listed, progress=progress, score=self._read_if_changed(run.metrics_file, lambda: read_best_score(run))
        )

    def _list_plan(self, plan: Plan, status: Status, runs: dict[str, ListedJob]) -> ListedJob:
        def read_steps() -> tuple[str, list[str]]:
            try:
                steps = plan.read_steps()
            except RunError:
                return shorten_id(plan.id), []
            return _name_plan(shorten_id(plan.id), steps), [step.name for step in steps]

        name, names = self._read_if_changed(plan.steps_file, read_steps)
        skipped = self._read_if_changed(plan.skipped_folder, plan.read_skipped_steps)
        begun = {step: runs[run] for step, run in status.runs.items() if run in runs}
        steps = {name: begun[name].state if name in begun else "waiting" for name in dict.fromkeys([*names, *begun])}
        steps |= {name: "skipped" for name in skipped & steps.keys() if steps[name] not in ("running", "done")}
        scores = [one.score for one in begun.values() if one.score]
        return ListedJob(
            plan,
            status,
            name,
            progress=Count("step", sum(state == "done" for state in steps.values()), len(steps)),
            score=min(scores, key=lambda score: (SCORES.index(score.name), -score.value), default=None),
            is_dismissed=status.state == "failed" and plan.is_dismissed(),
            steps=steps,
        )


def shorten_id(job_id: str) -> str:
    """The id without its date and its random end. A training is named by its model alone."""
    found = _ID.fullmatch(job_id)
    return found[1].removeprefix("train-") if found else job_id


def find_model_of_step(step: str) -> str:
    """The preset of a step of a queue, such as ResNet50_RF of ResNet50_RF-fold2/head."""
    return _REPEAT.sub("", step.partition("/")[0])


def _name_plan(name: str, steps: list[Step]) -> str:
    """A queue, which has the name of its command, is named by its models."""
    stages = {step.stage for step in steps}
    runs = dict.fromkeys(step.name.partition("/")[0] for step in steps if step.name not in stages)
    if name not in stages or not runs:
        return name
    first, *others = dict.fromkeys(map(find_model_of_step, runs))
    return f"{first} and {len(others)} more" if others else f"{first}, {len(runs)} runs"


def _tell_apart(listed: list[ListedJob]) -> list[ListedJob]:
    """Add the random end of the id to each name that several jobs have."""
    counts = Counter(one.name for one in listed)
    return [
        replace(one, name=f"{one.name}{' ' if ' ' in one.name else '_'}{one.job.id.rpartition('_')[2]}")
        if counts[one.name] > 1
        else one
        for one in listed
    ]
