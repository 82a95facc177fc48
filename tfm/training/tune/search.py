"""The search: each trial of a study as a run of its own, worked here, pruned or told to its end, taken up after a kill.

What a trial should try, and whether it is behind, is the study's to say.
"""

from __future__ import annotations

import contextlib
import csv
import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tfm.core.errors import BusyError, HaltedError, SettingsError
from tfm.core.events import Event, Gauges, Line, Metrics, Note, Progress
from tfm.core.registry import find_stage
from tfm.core.runs.executor import execute, prune_run
from tfm.core.runs.launch import find_or_create_run
from tfm.core.runs.run import Run
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import resolve
from tfm.training.gpu_lock import WAITING
from tfm.training.tune.study import Study, count_silent_seconds, find_best, get_owner
from tfm.training.tune.trial_settings import given_to_trial

_STATES = {"COMPLETE": "done", "FAIL": "failed"}
_SECONDS_BETWEEN = 2.0  # steps that are passed on, and looks at what others do
_LOST_AFTER_SECONDS = 600.0  # without a sign of life from another workspace, or from another machine


@dataclass(frozen=True)
class Search:
    run: Run  # the study's own
    study: Study
    total: int
    model: Preset
    shared: dict[str, Any]  # settings that hold for each trial
    searched: list[str]  # the settings that differ

    def events(self) -> Iterator[Event]:
        standing = self.study.trials(self.total)
        yield from (self._line(trial) for trial in standing)
        while True:
            yield from self._stands()
            trial = self._claimed()
            if trial is not None:
                yield from self._tried(trial)
            elif others := self._of_others():
                yield from self._waited_for(others)
            else:
                return

    def _stands(self) -> Iterator[Event]:
        trials = self.study.trials(self.total)
        yield Progress("trials", sum(trial.state.is_finished() for trial in trials), self.total, "trials")
        if best := find_best(trials):
            yield Gauges({"best": f"val AUC {best.value:.4f} in trial {best.number}"})

    # --- whose it is --------------------------------------------------------------------------------------------------

    @property
    def _here(self) -> str:
        return f"{socket.gethostname()}:{self.run.workspace.root}"

    @property
    def _me(self) -> str:
        return f"{self.run.id} on {self._here}"

    def _claimed(self) -> FrozenTrial | None:
        with self.run.workspace.lock_study(
            self.study.name
        ):  # two heirs of one dead worker would both take what it left
            heirless = frozenset(get_owner(trial) for trial in self._of_others() if self._is_left(trial))
            return self.study.claim(self.total, self._me, heirless)

    def _is_left(self, trial: FrozenTrial) -> bool:
        """Whether nobody is at work on it: its owner is this run, or one that stands still here, or is gone; of one in
        another workspace, whether it has long given no sign."""
        run_id, _, place = get_owner(trial).partition(" on ")
        folder = self.run.workspace.runs_folder / run_id
        if run_id == self.run.id:
            return True
        if folder.is_dir():
            return not Run(folder, self.run.workspace).is_alive()
        return place == self._here or count_silent_seconds(trial) > _LOST_AFTER_SECONDS

    def _of_others(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.trials(self.total) if trial.state == TrialState.RUNNING]

    def _waited_for(self, others: list[FrozenTrial]) -> Iterator[Event]:
        """What they are at work on counts as well; whatever one of them leaves is taken up here."""
        numbers = {trial.number for trial in others}
        for trial in others:
            yield Note(f"trial {trial.number} is at work in {get_owner(trial)}: waiting for it")
        while {trial.number for trial in others} == numbers and not any(map(self._is_left, others)):
            time.sleep(_SECONDS_BETWEEN)
            yield from self._stands()
            others = self._of_others()

    # --- one trial ----------------------------------------------------------------------------------------------------

    def _tried(self, trial: FrozenTrial) -> Iterator[Event]:
        number = trial.number
        try:
            child = self._run_of(number, self.study.values(trial))
        except SettingsError as error:  # each value can be, and these do not go together
            yield from self._failed(number, error.message)
            return
        yield self._line(self.study.trial(number))
        try:
            behind = yield from self._worked(number, child)
        except UpdateFinishedTrialError:  # by whoever took it up meanwhile
            behind = False
        status = child.read_status()
        if not self._is_mine(number):
            yield Note(f"trial {number} was taken up by {get_owner(self.study.trial(number))} meanwhile", "warning")
        elif behind:
            if status.state != "done":
                prune_run(child, "behind others after as many epochs")
            self.study.prune(number)
        elif status.state == "done":
            self.study.finish(number, max(best for _, best in _bests(child)))
        elif status.state == "failed":
            yield from self._failed(number, status.message)
        else:  # by what is no fault of the trial: it would happen to the next ones too
            raise HaltedError(f"trial {number} is {status.state}: {status.message}", hint=status.hint)
        yield self._line(self.study.trial(number))

    def _failed(self, number: int, message: str) -> Iterator[Event]:
        self.study.fail(number, message)
        yield Note(f"trial {number} failed: {message}", "warning")
        yield self._line(self.study.trial(number))

    def _is_mine(self, number: int) -> bool:
        """Whoever gave no sign for long has lost it."""
        return get_owner(self.study.trial(number)) == self._me

    def _run_of(self, number: int, values: dict[str, Any]) -> Run:
        """By its trial's own name it is found again, whatever killed the study, and by an extended study too."""
        stage = find_stage("train")
        given = given_to_trial(self.model, self.shared | values) | {"trial": f"{self.study.name}/{number}"}
        settings = resolve(stage.settings, self.model.settings, given)
        child = find_or_create_run(self.run.workspace, stage, settings, self.model, part_of=self.run.id)
        self.run.update(runs=self.run.read_status().runs | {str(number): child.id})
        return child

    def _worked(self, number: int, child: Run) -> Generator[Event, None, bool]:
        """Until it ends, or falls behind, which it returns. What somebody else does of it meanwhile counts as well."""
        tried = False
        while True:
            while child.is_alive():  # somebody resumed it by itself
                self.study.seen(number)
                time.sleep(_SECONDS_BETWEEN)
                yield Progress("epoch", 0, 1)
            behind = self._is_behind(number, child, self.study.trial(number).last_step or 1)
            if behind or tried or child.read_status().state == "done":
                return behind
            child.withdraw_pause()  # one that an earlier worker never saw
            with contextlib.suppress(BusyError):  # somebody has just taken it
                yield from self._steps(number, child)
                tried = True

    def _steps(self, number: int, child: Run) -> Iterator[Event]:
        """Until it ends, falls behind or is another's. Each step is a point at which the study may be stopped, and with
        it the trial; of steps only some are passed on, for a study has very many."""
        passed_on = 0.0
        with contextlib.closing(execute(child)) as events:  # type: ignore[type-var]
            for event in events:
                self.study.seen(number)
                if child.is_pause_requested():
                    self.run.request_pause()
                if isinstance(event, Metrics):
                    behind = self._is_behind(number, child, int(event.values["epoch"]))
                    yield self._line(self.study.trial(number))
                    if behind or not self._is_mine(number):
                        return
                elif isinstance(event, Note) and event.text.startswith(WAITING):
                    yield event
                elif isinstance(event, Progress) and time.monotonic() - passed_on > _SECONDS_BETWEEN:
                    passed_on = time.monotonic()
                    yield event

    def _is_behind(self, number: int, child: Run, since: int) -> bool:
        """The study is told of each epoch from there on, in their order: before a kill, one may have been kept that it
        was not told of."""
        told = [(epoch, best) for epoch, best in _bests(child) if epoch >= since]
        return any(self.study.is_behind(number, epoch, best) for epoch, best in told)

    # --- shown --------------------------------------------------------------------------------------------------------

    def _line(self, trial: FrozenTrial) -> Line:
        told = trial.intermediate_values
        state = _STATES.get(trial.state.name, trial.state.name.lower())
        best = f"{max(told.values()):.4f}" if told else "–"
        values = [format_value(trial.params.get(name, "")) for name in self.searched]
        columns = ["trial", "state", "val AUC", "epochs", *(name.replace("_", " ") for name in self.searched)]
        return Line("Trials", columns, [str(trial.number), state, best, str(trial.last_step or "–"), *values])


def format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bests(run: Run) -> list[tuple[int, float]]:
    """After each epoch, the highest validation AUC so far."""
    bests: list[tuple[int, float]] = []
    with contextlib.suppress(FileNotFoundError), open(run.metrics_file, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            bests.append((int(row["epoch"]), max(float(row["val_auc"]), bests[-1][1] if bests else 0.0)))
    return bests
