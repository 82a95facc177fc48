"""A plan: steps, each a run. A later step may refer to the result of an earlier one.

The setting "@train.run" stands for the value `run` in the result of the step `train`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

from tfm.core import files, hints
from tfm.core.errors import BusyError, RunError, SettingsError
from tfm.core.records import build_record
from tfm.core.runs.job_folder import Job, Status, create_job_folder
from tfm.core.runs.slurm_queue import QueuedJob, read_placement
from tfm.core.runs.workspace import Workspace

_LOCK_WAIT_SECONDS = 30.0  # the lock is held for a few file operations


@dataclass(frozen=True)
class Step:
    """One run of a plan. A `fresh` step always gets a new run, even if the same work was done before."""

    name: str
    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    preset: str | None = None
    fresh: bool = False

    def find_needed_steps(self) -> set[str]:
        return {step for step, _ in _iterate_references(self.settings)}


@dataclass(frozen=True)
class QueueSettings:
    """What a queue of models was started with, so that more models can be added."""

    command: str
    given: dict[str, Any]
    counts: dict[str, int]


class Plan(Job):
    def __init__(self, folder: Path, workspace: Workspace) -> None:
        super().__init__(folder)
        self.workspace = workspace

    @classmethod
    def create(
        cls, workspace: Workspace, name: str, steps: list[Step], key: str, queue: QueueSettings | None = None
    ) -> Plan:
        content = {"name": name, "steps": [asdict(step) for step in steps]} | (
            {"queue": asdict(queue)} if queue else {}
        )
        documents = {"plan.yaml": files.format_yaml(content)}
        return cls(create_job_folder(workspace.plans_folder, name, documents, key), workspace)

    @property
    def steps_file(self) -> Path:
        return self.folder / "plan.yaml"

    def read_steps(self) -> list[Step]:
        return [build_record(Step, step) for step in self._read_file()["steps"]]

    def read_queue(self) -> QueueSettings | None:
        """None if the plan is no queue of models."""
        queue = self._read_file().get("queue")
        return QueueSettings(**queue) if queue else None

    def write_steps(self, steps: list[Step]) -> None:
        """Replace the steps. The caller holds their lock."""
        changes = {"steps": [asdict(step) for step in steps], "edited": True}
        files.write_yaml(self.steps_file, self._read_file() | changes)

    def was_edited(self) -> bool:
        """Whether its steps are no longer those that its key stands for."""
        return bool(self._read_file().get("edited"))

    def _read_file(self) -> dict[str, Any]:
        try:
            found = self.steps_file.stat()
            return _parse_plan(self.steps_file, (found.st_mtime_ns, found.st_size, found.st_ino))
        except (OSError, ValueError, TypeError, KeyError):
            raise RunError(
                f"{self.steps_file} is damaged or missing",
                hint=f"restore the file, or remove the plan: {hints.command('runs remove', self.id)}",
            ) from None

    @contextlib.contextmanager
    def lock_steps(self) -> Iterator[None]:
        """Held while the worker takes its next step, and while a person edits the steps."""
        try:
            with FileLock(self.folder / "steps.lock", timeout=_LOCK_WAIT_SECONDS, poll_interval=0.005):
                yield
        except Timeout:
            raise BusyError(f"the steps of {self.id} are being changed elsewhere", hint="try again") from None

    def take_step(self, step: str) -> None:
        """Record that a worker begins with a step. The caller holds the lock of the steps."""
        if step not in self._read_step_records():
            self._write_step_record(step, {})

    def skip_step(self, step: str) -> None:
        self.skipped_folder.mkdir(exist_ok=True)
        (self.skipped_folder / quote(step, safe="")).touch()

    def withdraw_skip(self, step: str) -> None:
        (self.skipped_folder / quote(step, safe="")).unlink(missing_ok=True)

    def is_skipped(self, step: str) -> bool:
        return (self.skipped_folder / quote(step, safe="")).exists()

    def read_skipped_steps(self) -> set[str]:
        return {unquote(file.name) for file in self.skipped_folder.glob("*")}

    @property
    def skipped_folder(self) -> Path:
        return self.folder / "skipped"

    # Each step has its own file, because the steps of a plan on a cluster are recorded by many nodes at once.

    def record_step(self, step: str, run: str) -> None:
        self._write_step_record(step, {"run": run})

    def record_step_failure(self, step: str, message: str, hint: str) -> None:
        """Record why a step could not start: it has no run that says so."""
        self._write_step_record(step, {"message": message, "hint": hint})

    def _write_step_record(self, step: str, record: dict[str, str]) -> None:
        self.steps_folder.mkdir(exist_ok=True)
        files.write_json(self.steps_folder / f"{quote(step, safe='')}.json", record)

    def _read_step_records(self) -> dict[str, dict[str, str]]:
        """The record of each step that has begun, in the order in which they began."""
        found = sorted(self.steps_folder.glob("[!.]*.json"), key=lambda file: file.stat().st_mtime_ns)
        old = {step: {"run": run} for step, run in self.read_recorded_status().runs.items()}
        return old | {unquote(file.stem): _read_step_record(file) for file in found}

    @property
    def steps_folder(self) -> Path:
        return self.folder / "steps"

    def read_begun_steps(self) -> set[str]:
        """The steps that a worker has taken. What a dead worker took without a run can be taken again."""
        is_alive = self.is_alive()
        return {step for step, record in self._read_step_records().items() if record or is_alive}

    def read_runs(self) -> dict[str, str]:
        """The id of the run of each step that has one."""
        return {step: record["run"] for step, record in self._read_step_records().items() if "run" in record}

    def read_step_statuses(self) -> dict[str, Status]:
        """What is recorded about each step that has a run or could not start, except those whose run was removed."""
        statuses = {}
        for step, record in self._read_step_records().items():
            if not record:
                continue
            with contextlib.suppress(RunError):
                statuses[step] = (
                    Job(self.workspace.runs_folder / record["run"]).read_recorded_status()
                    if "run" in record
                    else Status(state="failed", message=record["message"], hint=record["hint"])
                )
        return statuses

    def read_status(self) -> Status:
        status = super().read_status()
        return replace(status, runs=self.read_runs()) if status.state != "damaged" else status

    def read_seconds_spent(self) -> float:
        if read_placement(self.folder) is None:
            return super().read_seconds_spent()
        return sum(status.seconds for status in self.read_step_statuses().values())

    def _combine(self, recorded: Status, queued: Mapping[str, QueuedJob]) -> Status:
        """The state of a plan whose steps are jobs of Slurm."""
        statuses = self.read_step_statuses()  # after the queue: a job that has ended has recorded its end
        left = [step for step in queued if step not in statuses or statuses[step].state != "done"]
        if not left:
            result = statuses[list(queued)[-1]].result
            seconds = sum(status.seconds for status in statuses.values())
            return replace(recorded, state="done", message="", seconds=seconds, result=result)
        alive = Counter(queued[step].words for step in left if queued[step].is_alive)
        if alive:
            message = ", ".join(f"{count} {words}" for words, count in alive.most_common())
            return replace(recorded, state="running", message=message, hint="")
        if unknown := next((queued[step] for step in left if queued[step].state == "unknown"), None):
            return replace(recorded, message=unknown.words)
        failed = [(step, statuses[step]) for step in left if step in statuses and statuses[step].state == "failed"]
        if failed:
            message = "; ".join(f"{step}: {status.message}" for step, status in failed)
            return replace(recorded, state="failed", message=message, hint=failed[0][1].hint)
        if recorded.state == "paused":
            return recorded
        step = next((step for step in left if step in statuses and statuses[step].message), left[0])
        halted = statuses.get(step, Status())
        message, hint = halted.message or queued[step].words, halted.hint or self._name_log(step)
        return replace(recorded, state="halted", message=f"{step}: {message}", hint=hint)


@functools.lru_cache(maxsize=8)
def _parse_plan(file: Path, _stamp: tuple[int, ...]) -> dict[str, Any]:
    """The content of the file, read once for each state of it: 325 steps take a while."""
    content: dict[str, Any] = files.read_yaml(file)
    for step in content["steps"]:
        build_record(Step, step)
    if "queue" in content:
        build_record(QueueSettings, content["queue"])
    return content


def _read_step_record(file: Path) -> dict[str, str]:
    """What is recorded about a step. If the file is damaged, the step has begun, and its run is not known."""
    try:
        record = build_record(dict[str, str], files.read_json(file))
    except (OSError, ValueError):
        return {}
    return record if "run" in record or {"message", "hint"} <= record.keys() else {}


def check_steps(steps: list[Step]) -> None:
    """Check that names are unique and that each step only needs steps before it."""
    before: set[str] = set()
    for step in steps:
        if step.name in before:
            raise SettingsError(f"two steps of the plan are called {step.name}", hint="give each step its own name")
        missing = step.find_needed_steps() - before
        if missing:
            raise SettingsError(
                f"step {step.name} needs the result of {', '.join(sorted(missing))}, which is not before it",
                hint="put each step after the steps that it needs",
            )
        before.add(step.name)


def nest_steps(outer: str, steps: list[Step]) -> list[Step]:
    """The steps of a plan as steps of another one, named like OUTER/step, with their references."""

    def rename(settings: Any) -> Any:
        if isinstance(settings, dict):
            return {name: rename(value) for name, value in settings.items()}
        if isinstance(settings, list):
            return [rename(value) for value in settings]
        return next((f"@{outer}/{step}.{value}" for step, value in _iterate_references(settings)), settings)

    return [replace(step, name=f"{outer}/{step.name}", settings=rename(step.settings)) for step in steps]


def fill_references(settings: Any, results: Mapping[str, Mapping[str, Any]]) -> Any:
    """Replace each "@step.value" with the value from that step's result."""
    if isinstance(settings, dict):
        return {name: fill_references(value, results) for name, value in settings.items()}
    if isinstance(settings, list):
        return [fill_references(value, results) for value in settings]
    for step, value in _iterate_references(settings):
        found = results.get(step, {})
        if value not in found:
            names = ", ".join(found) or "nothing: repeat that step"
            raise SettingsError(f"the result of step {step} has no value {value}", hint=f"it has: {names}")
        return found[value]
    return settings


def _iterate_references(settings: Any) -> Iterator[tuple[str, str]]:
    if isinstance(settings, dict | list):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from _iterate_references(value)
    elif isinstance(settings, str) and settings.startswith("@"):
        step, _, value = settings[1:].partition(".")
        yield step, value


def compute_plan_key(name: str, steps: list[Step]) -> str:
    content = json.dumps([name, [asdict(step) for step in steps]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]
