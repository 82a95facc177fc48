"""A study in Optuna's storage: its trials are claimed, given values, judged and finished, with equal results after a
kill at any instant.

Training a trial and the runs of trials are not known here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import HyperbandPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from tfm.core import hints
from tfm.core.errors import SettingsError
from tfm.core.randomness import seed_at
from tfm.training.tune.settings import HyperbandSettings

_OWNER, _SEEN, _MESSAGE, _SPACE = "owner", "seen", "message", "space"  # attributes of a trial or of the study
_ACTIVITY_SECONDS = 30.0  # between two records

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    def __init__(
        self, storage: RDBStorage, name: str, space: Mapping[str, Any], hyperband: HyperbandSettings, seed: int
    ) -> None:
        self.name = name
        self._storage, self._space, self._hyperband, self._seed = storage, dict(space), hyperband, seed
        self._pruner = HyperbandPruner(hyperband.min_epochs, hyperband.max_epochs, hyperband.reduction_factor)
        self._recorded = 0.0
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=self._pruner, load_if_exists=True
        )
        # Hyperband creates its brackets at its first decision, but TPE needs them earlier: it learns within a bracket.
        self._pruner.prune(self._study, create_trial(state=TrialState.RUNNING))
        stored = self._study.user_attrs.get(_SPACE)
        if stored is None:
            self._study.set_user_attr(_SPACE, self._space)
        elif stored != self._space:
            raise SettingsError(
                f"the storage holds a study called {self.name} that searches another space",
                hint=f"choose another {hints.setting('storage')}: a study searches one space",
                fields=("storage",),
            )

    def list_trials(self, total: int) -> list[FrozenTrial]:
        """List the first `total` trials. Later ones, of a study that once had more, are ignored."""
        return self._study.get_trials(deepcopy=False)[:total]

    def get_trial(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def claim_trial(self, total: int, owner: str, abandoned: frozenset[str]) -> FrozenTrial | None:
        """Claim the next trial: one of this owner or of the `abandoned` owners, a waiting one, or a new one.

        Return None if there are `total` trials already. A trial is created together with its owner, so that no trial
        is without one.
        """
        trials = self.list_trials(total)
        for trial in trials:
            is_resumed = trial.state == TrialState.RUNNING and get_owner(trial) in {owner, *abandoned}
            is_waiting = trial.state == TrialState.WAITING
            if is_resumed or (is_waiting and self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)):
                self._storage.set_trial_user_attr(trial._trial_id, _SEEN, time.time())
                self._storage.set_trial_user_attr(trial._trial_id, _OWNER, owner)
                return self.get_trial(trial.number)
        return self._create_trial(total, owner) if len(trials) < total else None

    def _create_trial(self, total: int, owner: str) -> FrozenTrial | None:
        template = create_trial(state=TrialState.RUNNING, user_attrs={_OWNER: owner, _SEEN: time.time()})
        study_id = self._storage.get_study_id_from_name(self.name)
        created = self._storage.get_trial(self._storage.create_new_trial(study_id, template))
        if created.number < total:
            return self.get_trial(created.number)
        # Another worker created the last trial at the same time: this one waits until the study gets more trials.
        self._storage.set_trial_state_values(created._trial_id, TrialState.WAITING)
        return None

    def record_activity(self, number: int) -> None:
        """Record now and then that the owner is at work, for workers that cannot read its run."""
        if time.monotonic() - self._recorded >= _ACTIVITY_SECONDS:
            self._recorded = time.monotonic()
            self._storage.set_trial_user_attr(self.get_trial(number)._trial_id, _SEEN, time.time())

    def suggest_values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Suggest the trial's values with TPE, or read those that were stored before.

        Each value has a sampler with its own seed, so that a trial killed between two values gets the same rest.
        """
        stored = Trial(self._study, trial._trial_id)
        return {name: self._suggest_value(stored, name, options) for name, options in self._space.items()}

    def _suggest_value(self, trial: Trial, name: str, options: Any) -> Any:
        self._study.sampler = TPESampler(
            seed=seed_at(self._seed, "tune", trial.number, name) % 2**32,
            n_startup_trials=self._hyperband.startup_trials,
            multivariate=False,
            constant_liar=False,
        )
        if isinstance(options, list):
            return trial.suggest_categorical(name, options)
        if isinstance(options["low"], int) and isinstance(options["high"], int):
            return trial.suggest_int(name, **options)
        return trial.suggest_float(name, **options)

    def should_prune(self, number: int, epoch: int, best: float) -> bool:
        """Record the best AUC after an epoch, and decide whether to prune the trial there.

        A decision is stored and never changes. A trial is not pruned after its last epoch.
        """
        trials = self._study.get_trials(deepcopy=False)
        trial = trials[number]
        self._storage.set_trial_intermediate_value(trial._trial_id, epoch, best)
        decision = trial.user_attrs.get(f"epoch {epoch}")
        if decision is None:
            decision = self._decide(trials, number, epoch, best)
            if decision["rungs"]:
                self._storage.set_trial_user_attr(trial._trial_id, f"epoch {epoch}", decision)
        for rung, value in decision["rungs"].items():
            self._storage.set_trial_system_attr(trial._trial_id, rung, value)
        return bool(decision["behind"]) and epoch < self._hyperband.max_epochs

    def _decide(self, trials: list[FrozenTrial], number: int, epoch: int, best: float) -> dict[str, Any]:
        """Let Hyperband decide on a copy of the study.

        Hyperband stores the rung that a trial has reached while it decides. If it were killed there, it would decide
        differently the next time, so the decision is stored as a whole.
        """
        copy = optuna.create_study(study_name=self.name, direction="maximize", pruner=self._pruner)
        for trial in trials:
            own = {epoch: best} if trial.number == number else {}
            copy.add_trial(
                create_trial(state=TrialState.RUNNING, system_attrs=trial.system_attrs, intermediate_values=own)
            )
        behind = self._pruner.prune(copy, copy.get_trials(deepcopy=False)[number])
        after = copy.get_trials(deepcopy=False)[number].system_attrs
        known = trials[number].system_attrs
        return {"behind": behind, "rungs": {rung: value for rung, value in after.items() if rung not in known}}

    def finish(self, number: int, best: float) -> None:
        self._study.tell(number, best)

    def prune(self, number: int) -> None:
        self._study.tell(number, state=TrialState.PRUNED)

    def fail(self, number: int, message: str) -> None:
        self._storage.set_trial_user_attr(self.get_trial(number)._trial_id, _MESSAGE, message)
        self._study.tell(number, state=TrialState.FAIL)


def get_owner(trial: FrozenTrial) -> str:
    return str(trial.user_attrs[_OWNER])


def count_silent_seconds(trial: FrozenTrial) -> float:
    """Count the seconds since the owner's last activity. The clocks of two machines may differ."""
    return time.time() - float(trial.user_attrs[_SEEN])


def get_message(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(_MESSAGE, ""))


def find_best(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """Find the best completed trial, the first of equals."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(done, key=lambda trial: (trial.value, -trial.number), default=None)
