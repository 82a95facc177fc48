"""The search: works the trials of a study one after the other, each as a run of its own.

Which values a trial tries, and whether it is pruned, is decided by `study`; which trial comes next, by `worker`.
"""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from tfm.core.errors import BusyError, HaltedError, SettingsError
from tfm.core.events import CurrentValues, Event, Metrics, Note, Progress, TableRow
from tfm.core.runs.execute_run import execute, prune_run
from tfm.core.runs.find_or_create import find_or_create_run
from tfm.core.runs.run import Run
from tfm.training.gpu_lock import WAITING
from tfm.training.tune.claim_trials import Worker
from tfm.training.tune.study import find_best, get_owner
from tfm.training.tune.trial_settings import TrialTemplate

_STATES = {"COMPLETE": "done", "FAIL": "failed"}
POLL_SECONDS = 2.0  # between progress events that are passed on, and between looks at other workers


@dataclass(frozen=True)
class Search:
    worker: Worker
    template: TrialTemplate
    searched: list[str]  # the settings that differ between trials

    def run_trials(self) -> Iterator[Event]:
        """Work trials until all are finished, by this worker or by others."""
        yield from map(self._describe_trial, self.worker.study.list_trials(self.worker.total))
        while True:
            yield from self._report_progress()
            trial = self.worker.claim_trial()
            if trial is not None:
                yield from self._run_trial(trial)
            elif others := self.worker.list_running():
                yield from self._wait_for(others)
            else:
                return

    def _report_progress(self) -> Iterator[Event]:
        total = self.worker.total
        trials = self.worker.study.list_trials(total)
        yield Progress("trials", sum(trial.state.is_finished() for trial in trials), total, "trials")
        if best := find_best(trials):
            yield CurrentValues({"best": f"val AUC {best.value:.4f} in trial {best.number}"})

    def _wait_for(self, others: list[FrozenTrial]) -> Iterator[Event]:
        """Wait until other workers finish or abandon a trial."""
        numbers = {trial.number for trial in others}
        for trial in others:
            yield Note(f"waiting for trial {trial.number}, which runs in {get_owner(trial)}")
        while {trial.number for trial in others} == numbers and not any(map(self.worker.is_abandoned, others)):
            time.sleep(POLL_SECONDS)
            yield from self._report_progress()
            others = self.worker.list_running()

    def _run_trial(self, trial: FrozenTrial) -> Iterator[Event]:
        number, study = trial.number, self.worker.study
        try:
            child = self._find_or_create_run(number, study.suggest_values(trial))
        except SettingsError as error:  # each value is valid, but not all of them together
            yield from self._fail(number, error.message)
            return
        yield self._describe_trial(study.get_trial(number))
        try:
            is_pruned = yield from self._work(number, child)
        except UpdateFinishedTrialError:  # another worker took it over and finished it
            is_pruned = False
        status = child.read_status()
        if not self.worker.is_owner(number):
            yield Note(f"trial {number} was taken over by {get_owner(study.get_trial(number))}", "warning")
        elif is_pruned:
            if status.state != "done":
                prune_run(child, "worse than other trials after the same number of epochs")
            study.prune(number)
        elif status.state == "done":
            study.finish(number, max(best for _, best in _read_best_aucs(child)))
        elif status.state == "failed":
            yield from self._fail(number, status.message)
        else:  # the cause lies outside the trial and would stop the next ones too
            raise HaltedError(f"trial {number} is {status.state}: {status.message}", hint=status.hint)
        yield self._describe_trial(study.get_trial(number))

    def _fail(self, number: int, message: str) -> Iterator[Event]:
        self.worker.study.fail(number, message)
        yield Note(f"trial {number} failed: {message}", "warning")
        yield self._describe_trial(self.worker.study.get_trial(number))

    def _find_or_create_run(self, number: int, values: dict[str, Any]) -> Run:
        """The trial's name is part of the settings, so that a resumed or extended study finds the same run again."""
        run = self.worker.run
        given = self.template.fill(values) | {"trial": f"{self.worker.study.name}/{number}"}
        settings, stage, model = self.template.resolve(given), self.template.stage, self.template.model
        child = find_or_create_run(run.workspace, stage, settings, model, part_of=run.id)
        run.update(runs=run.read_status().runs | {str(number): child.id})
        return child

    def _work(self, number: int, child: Run) -> Generator[Event, None, bool]:
        """Work on a trial until it ends. Return whether it is to be pruned.

        The run of the trial may have been resumed by itself meanwhile: epochs from there count too.
        """
        study, is_worked = self.worker.study, False
        while True:
            while child.is_alive():
                study.record_activity(number)
                time.sleep(POLL_SECONDS)
                yield Progress("epoch", 0, 1)
            is_pruned = self._report_epochs(number, child, study.get_trial(number).last_step or 1)
            if is_pruned or is_worked or child.read_status().state == "done":
                return is_pruned
            child.withdraw_pause()  # a request that an earlier worker did not see
            with contextlib.suppress(BusyError):  # another process has just started it
                yield from self._pass_on_events(number, child)
                is_worked = True

    def _pass_on_events(self, number: int, child: Run) -> Iterator[Event]:
        """Work the run until it ends, is to be pruned or was taken over. At each event the study can be stopped."""
        passed_on = 0.0
        with contextlib.closing(execute(child)) as events:  # type: ignore[type-var]
            for event in events:
                self.worker.study.record_activity(number)
                if child.is_pause_requested():
                    self.worker.run.request_pause()
                if isinstance(event, Metrics):
                    is_pruned = self._report_epochs(number, child, int(event.values["epoch"]))
                    yield self._describe_trial(self.worker.study.get_trial(number))
                    if is_pruned or not self.worker.is_owner(number):
                        return
                elif isinstance(event, Note) and event.text.startswith(WAITING):
                    yield event
                elif isinstance(event, Progress) and time.monotonic() - passed_on > POLL_SECONDS:
                    passed_on = time.monotonic()
                    yield event

    def _report_epochs(self, number: int, child: Run, first: int) -> bool:
        """Report the epochs from `first` on to the study, in order. Return whether the trial is to be pruned.

        A killed study may not have reported the last epochs that its trial recorded.
        """
        epochs = [(epoch, best) for epoch, best in _read_best_aucs(child) if epoch >= first]
        return any(self.worker.study.should_prune(number, epoch, best) for epoch, best in epochs)

    def _describe_trial(self, trial: FrozenTrial) -> TableRow:
        aucs = trial.intermediate_values.values()
        state = _STATES.get(trial.state.name, trial.state.name.lower())
        best = f"{max(aucs):.4f}" if aucs else "–"
        values = [format_value(trial.params.get(name, "")) for name in self.searched]
        columns = ["trial", "state", "val AUC", "epochs", *(name.replace("_", " ") for name in self.searched)]
        return TableRow("Trials", columns, [str(trial.number), state, best, str(trial.last_step or "–"), *values])


def format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _read_best_aucs(run: Run) -> list[tuple[int, float]]:
    """Read each epoch with the highest validation AUC so far."""
    bests: list[tuple[int, float]] = []
    with contextlib.suppress(FileNotFoundError), open(run.metrics_file, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            bests.append((int(row["epoch"]), max(float(row["val_auc"]), bests[-1][1] if bests else 0.0)))
    return bests
