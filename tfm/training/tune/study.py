"""A study as Optuna keeps it: trials claimed, asked and told, so that every answer is the same after any kill.

What a trial does, and which runs there are, is not known here.
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

_OWNER, _SEEN, _MESSAGE, _SPACE = "owner", "seen", "message", "space"  # what is noted beside a trial or a study
_SECONDS_BETWEEN_SIGNS = 30.0  # of life

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    def __init__(
        self, storage: RDBStorage, name: str, space: Mapping[str, Any], hyperband: HyperbandSettings, seed: int
    ) -> None:
        self.name = name
        self._storage, self._space, self._hyperband, self._seed = storage, dict(space), hyperband, seed
        self._pruner = _pruner(hyperband)
        self._seen = 0.0
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=self._pruner, load_if_exists=True
        )
        # Hyperband sets up its brackets when it is first asked; TPE, which learns within one, must know them before.
        self._pruner.prune(self._study, create_trial(state=TrialState.RUNNING))
        self._check_space()

    def _check_space(self) -> None:
        kept = self._study.user_attrs.get(_SPACE)
        if kept is None:
            self._study.set_user_attr(_SPACE, self._space)
        elif kept != self._space:
            raise SettingsError(
                f"the storage holds a study called {self.name} that searches another space",
                hint=f"give another {hints.setting('storage')}: a study searches one space",
                fields=("storage",),
            )

    def trials(self, total: int) -> list[FrozenTrial]:
        """The first so many by their numbers; those behind, of a study that was to have more, are as if not there."""
        return self._study.get_trials(deepcopy=False)[:total]

    def trial(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    # --- claimed ------------------------------------------------------------------------------------------------------

    def claim(self, total: int, owner: str, heir_of: frozenset[str]) -> FrozenTrial | None:
        """The next trial to work: one that this owner had begun, or one of those whose heir it is; else a new one; None
        where there are `total`. A trial comes into being with its owner, so that none is ever nobody's."""
        standing = self.trials(total)
        for trial in standing:
            begun = trial.state == TrialState.RUNNING and get_owner(trial) in {owner, *heir_of}
            free = trial.state == TrialState.WAITING
            if begun or (free and self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)):
                self._storage.set_trial_user_attr(trial._trial_id, _SEEN, time.time())
                self._storage.set_trial_user_attr(trial._trial_id, _OWNER, owner)
                return self.trial(trial.number)
        return self._made(total, owner) if len(standing) < total else None

    def _made(self, total: int, owner: str) -> FrozenTrial | None:
        template = create_trial(state=TrialState.RUNNING, user_attrs={_OWNER: owner, _SEEN: time.time()})
        study_id = self._storage.get_study_id_from_name(self.name)
        made = self._storage.get_trial(self._storage.create_new_trial(study_id, template))
        if made.number < total:
            return self.trial(made.number)
        # Others made theirs in the same instant: this one waits for a study that is to have more.
        self._storage.set_trial_state_values(made._trial_id, TrialState.WAITING)
        return None

    def seen(self, number: int) -> None:
        """Its owner is at work on it: noted now and then, for workers that cannot look at its run."""
        if time.monotonic() - self._seen >= _SECONDS_BETWEEN_SIGNS:
            self._seen = time.monotonic()
            self._storage.set_trial_user_attr(self.trial(number)._trial_id, _SEEN, time.time())

    # --- asked --------------------------------------------------------------------------------------------------------

    def values(self, trial: FrozenTrial) -> dict[str, Any]:
        """What it tries, asked from TPE where that isn't written yet. Each value comes from a sampler of its own
        address: a trial that was killed between two of them is asked for the rest as if it had never been."""
        asked = Trial(self._study, trial._trial_id)
        return {name: self._asked(asked, name, options) for name, options in self._space.items()}

    def _asked(self, asked: Trial, name: str, options: Any) -> Any:
        self._study.sampler = TPESampler(
            seed=seed_at(self._seed, "tune", asked.number, name) % 2**32,
            n_startup_trials=self._hyperband.startup_trials,
            multivariate=False,
            constant_liar=False,
        )
        if isinstance(options, list):
            return asked.suggest_categorical(name, options)
        if isinstance(options["low"], int) and isinstance(options["high"], int):
            return asked.suggest_int(name, **options)
        return asked.suggest_float(name, **options)

    # --- told ---------------------------------------------------------------------------------------------------------

    def is_behind(self, number: int, epoch: int, best: float) -> bool:
        """Told how good a trial is after an epoch, whether it should be pruned there; once said, always so. With its
        last epoch a trial has come to its end."""
        trials = self._study.get_trials(deepcopy=False)
        trial = trials[number]
        self._storage.set_trial_intermediate_value(trial._trial_id, epoch, best)
        said = trial.user_attrs.get(f"epoch {epoch}")
        if said is None:
            said = self._judged(trials, number, epoch, best)
            if said["rungs"]:
                self._storage.set_trial_user_attr(trial._trial_id, f"epoch {epoch}", said)
        for rung, value in said["rungs"].items():
            self._storage.set_trial_system_attr(trial._trial_id, rung, value)
        return bool(said["behind"]) and epoch < self._hyperband.max_epochs

    def _judged(self, trials: list[FrozenTrial], number: int, epoch: int, best: float) -> dict[str, Any]:
        """Hyperband notes the rung that a trial has reached while it still weighs it, and would weigh it otherwise if
        it were killed there and asked again. So it judges a copy, and the judgement is written down whole."""
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
        self._storage.set_trial_user_attr(self.trial(number)._trial_id, _MESSAGE, message)
        self._study.tell(number, state=TrialState.FAIL)


def _pruner(hyperband: HyperbandSettings) -> HyperbandPruner:
    return HyperbandPruner(hyperband.min_epochs, hyperband.max_epochs, hyperband.reduction_factor)


def get_owner(trial: FrozenTrial) -> str:
    return str(trial.user_attrs[_OWNER])


def count_silent_seconds(trial: FrozenTrial) -> float:
    """By the clocks of two machines."""
    return time.time() - float(trial.user_attrs[_SEEN])


def get_message(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(_MESSAGE, ""))


def find_best(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """Of those that came to their end; of equals the first."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(done, key=lambda trial: (trial.value, -trial.number), default=None)
