"""A job as it is watched: its status, the run that works now, and the time left. Nothing here draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from statistics import mean

from tfm.core.events import Event
from tfm.core.runs.estimates import read_estimates
from tfm.core.runs.executors import find_place
from tfm.core.runs.job_folder import Status
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.run import Run
from tfm.core.runs.work_costs import TRAININGS
from tfm.ui.run_state import RunView


class JobView:
    """A run, or a plan with the run that is running now."""

    def __init__(self, job: Run | Plan) -> None:
        self.job = job
        self.status = job.read_status()
        self.current: RunView | None = None
        self.states: dict[str, str] = {}  # of the steps of a plan
        self._steps: list[Step] = []
        self._steps_written = 0
        self._seconds: dict[str, float] = {}  # that each finished step took
        self._estimated: dict[tuple[str, str | None], float | None] = {}  # by command and model
        self._views: dict[str, RunView] = {}

    def refresh(self) -> None:
        """Read the status and the new events of the current run; of a plan, not the logs of all its runs."""
        self.status = self.job.read_status()
        current_id = self.job.id
        if isinstance(self.job, Plan):
            self._steps = self._read_steps(self.job)
            skipped, before = self.job.read_skipped_steps(), self.states
            self.states = {
                step.name: "done" if before.get(step.name) == "done" else self._read_state(step.name, skipped)
                for step in self._steps
            }
            running = [self.status.runs[name] for name, state in self.states.items() if state == "running"]
            current_id = next(iter([*running, *reversed(self._run_ids())]), "")
        if current_id:
            self.current = self._view(current_id)
            self.current.read_new_events()

    def read_new_events(self) -> list[tuple[RunView, list[Event]]]:
        """Read the new events of all runs."""
        self.status = self.job.read_status()
        return [(view, view.read_new_events()) for view in map(self._view, self._run_ids())]

    def _view(self, run_id: str) -> RunView:
        return self._views.setdefault(run_id, RunView(self._run(run_id)))

    def _run_ids(self) -> list[str]:
        if isinstance(self.job, Run):
            return [self.job.id]
        return [run_id for run_id in self.status.runs.values() if self._exists(run_id)]

    def _exists(self, run_id: str) -> bool:
        """False for a run of the plan that was removed."""
        return (self.job.workspace.runs_folder / run_id).is_dir()

    def _run(self, run_id: str) -> Run:
        workspace = self.job.workspace
        return self.job if isinstance(self.job, Run) else Run(workspace.runs_folder / run_id, workspace)

    def _read_steps(self, plan: Plan) -> list[Step]:
        """Read the steps again only after somebody edited them: a long queue takes long to read."""
        written = plan.steps_file.stat().st_mtime_ns
        if written != self._steps_written:
            self._steps, self._steps_written = plan.read_steps(), written
        return self._steps

    def _read_state(self, step: str, skipped: Collection[str]) -> str:
        run_id = self.status.runs.get(step)
        status = self._run(run_id).read_status() if run_id and self._exists(run_id) else Status()
        if status.state == "done":
            self._seconds[step] = status.seconds
        return "skipped" if step in skipped and status.state not in ("running", "done") else status.state

    @property
    def has_worker(self) -> bool:
        """Whether somebody works on it, or will."""
        return self.status.state in ("running", "waiting")

    @property
    def seconds_left(self) -> float | None:
        """The time left; None if it is not known, in a plan of any step that is left."""
        left = self.current.seconds_left if self.current else None
        if not isinstance(self.job, Plan):
            return left
        running = [step for step in self._steps if self.states[step.name] == "running"]
        if len(running) > 1 or (running and (left is None or not self._is_training_counted(running[0]))):
            return None
        measured = defaultdict(list)
        for step in self._steps:
            if step.name in self._seconds:
                measured[step.stage, step.preset].append(self._seconds[step.name])
        if running and self.current and left is not None:
            measured[running[0].stage, running[0].preset].append(left + self.current.run.read_seconds_spent())
        total = left if running and left is not None else 0.0
        for step in self._steps:
            if self.states[step.name] in ("waiting", "paused", "halted"):
                known = measured.get((step.stage, step.preset))
                seconds = mean(known) if known else self._estimate(step)
                if seconds is None:
                    return None
                total += seconds
        return total

    def _is_training_counted(self, step: Step) -> bool:
        """The counts before the epochs, such as of images to read, say nothing about the time of a training."""
        return step.stage not in TRAININGS or (self.current is not None and "epoch" in self.current.bars)

    def _estimate(self, step: Step) -> float | None:
        """The time of a model that has not run here, asked for once: a long queue takes long to estimate."""
        key = (step.stage, step.preset)
        if key not in self._estimated:
            presets = [step.preset] if step.preset else []
            (estimate,) = read_estimates(self.job.workspace, step.stage, presets, step.settings).values()
            self._estimated[key] = estimate.seconds
        return self._estimated[key]


def describe_state(status: Status) -> str:
    """The state in words; of a job on a cluster, what Slurm says about it, such as "running on node7"."""
    return (status.message if status.state in ("waiting", "running") else "") or status.state


def describe_job(job: Run | Plan) -> str:
    """Say how a job stands; of a job on a cluster, such as "2024-05-17_train_ab12cd on ours: running on node7"."""
    status = job.read_status()
    words = describe_state(status)
    return f"{job.id} is {words}" if words == status.state else f"{job.id} on {find_place(job)}: {words}"
