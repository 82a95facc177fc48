"""A worker of a study: which trial it takes next, and which trials other workers have abandoned."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from tfm.core.runs.run import Run
from tfm.training.tune.study import Study, count_silent_seconds, get_owner

_ABANDONED_AFTER_SECONDS = 600.0  # without activity, if its run is in another workspace or on another machine


@dataclass(frozen=True)
class Worker:
    run: Run  # a run of tune; several may share the study
    study: Study
    total: int  # trials

    @property
    def place(self) -> str:
        return f"{socket.gethostname()}:{self.run.workspace.root}"

    @property
    def name(self) -> str:
        return f"{self.run.id} on {self.place}"

    def claim_trial(self) -> FrozenTrial | None:
        with self.run.workspace.lock_study(self.study.name):  # or two workers could take the same abandoned trial
            abandoned = frozenset(get_owner(trial) for trial in self.list_running() if self.is_abandoned(trial))
            return self.study.claim_trial(self.total, self.name, abandoned)

    def list_running(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.list_trials(self.total) if trial.state == TrialState.RUNNING]

    def is_abandoned(self, trial: FrozenTrial) -> bool:
        """Whether nobody works on the trial: its owner is this run, is not running here, or has long been silent."""
        run_id, _, place = get_owner(trial).partition(" on ")
        folder = self.run.workspace.runs_folder / run_id
        if run_id == self.run.id:
            return True
        if folder.is_dir():
            return not Run(folder, self.run.workspace).is_alive()
        return place == self.place or count_silent_seconds(trial) > _ABANDONED_AFTER_SECONDS

    def is_owner(self, number: int) -> bool:
        """Whether the trial is still this worker's: another one takes over a trial that was silent for long."""
        return get_owner(self.study.get_trial(number)) == self.name
