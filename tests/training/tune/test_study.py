"""The state of a study, without any training: kills change no value and no decision, and workers share its trials."""

import contextlib
import multiprocessing
import random

import optuna
import pytest
from optuna.pruners import HyperbandPruner
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from tfm.core.errors import SettingsError
from tfm.training.tune.settings import HyperbandSettings
from tfm.training.tune.storage import open_storage
from tfm.training.tune.study import Study, find_best, get_owner

SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "optimizer": ["adamw", "sgd"],
    "patience": {"low": 1, "high": 9},
}
HYPERBAND = HyperbandSettings(min_epochs=1, max_epochs=4, reduction_factor=2, startup_trials=2)
TOTAL = 9
WRITES = ("create_new_trial", *(f"set_trial_{what}" for what in ("param", "user_attr", "system_attr")))
WRITES = (*WRITES, "set_trial_intermediate_value", "set_trial_state_values")


class Death(BaseException):
    pass


class MortalStorage(RDBStorage):
    """A storage that dies just after a number of writes."""

    writes_left = None

    def __getattribute__(self, name):
        method = super().__getattribute__(name)
        if name not in WRITES or self.writes_left is None:
            return method

        def write(*args, **kwargs):
            result = method(*args, **kwargs)
            self.writes_left -= 1
            if self.writes_left <= 0:
                raise Death
            return result

        return write


def make_storage(folder, kind=RDBStorage):
    """Make a storage that does not wait for the disk: processes die here, not the machine."""
    storage = kind(f"sqlite:///{folder / 'study.db'}")
    event.listen(storage.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    storage.engine.dispose()
    return storage


def compute_auc(values, epoch):
    """Imitate a network: better with each epoch, best near a learning rate of 0.001."""
    error = abs(values["learning_rate"] - 1e-3) ** 0.25 + values["dropout"] / 5 + (values["optimizer"] == "sgd") / 10
    return 0.9 - error / 2 - 0.3 / epoch


def work(study, total, owner="me"):
    while (trial := study.claim_trial(total, owner, frozenset())) is not None:
        values = study.suggest_values(trial)
        for epoch in range(trial.last_step or 1, HYPERBAND.max_epochs + 1):
            if study.should_prune(trial.number, epoch, compute_auc(values, epoch)):
                study.prune(trial.number)
                break
        else:
            study.finish(trial.number, compute_auc(values, HYPERBAND.max_epochs))


def make_study(storage, space=SPACE):
    return Study(storage, "tfm-test", space, HYPERBAND, seed=7)


def describe_trials(study, total):
    return [
        (trial.number, trial.state.name, trial.params, trial.value, trial.intermediate_values, trial.system_attrs)
        for trial in study.list_trials(total)
    ]


def work_with_deaths(storage, total, seed):
    """Work until all trials are finished, and die every few writes. Return the number of deaths."""
    generator, deaths = random.Random(seed), 0
    while True:
        storage.writes_left = None
        study = make_study(storage)
        storage.writes_left = generator.randint(3, 12)
        with contextlib.suppress(Death):
            work(study, total)
            storage.writes_left = None
            return deaths
        deaths += 1


def decide_like_optuna(storage):
    """Replace `should_prune` by Optuna's own decision, which records the rung before it compares the trial."""

    def should_prune(study, number, epoch, best):
        study_id = storage.get_study_id_from_name(study.name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        storage.set_trial_intermediate_value(trial_id, epoch, best)
        pruner = HyperbandPruner(HYPERBAND.min_epochs, HYPERBAND.max_epochs, HYPERBAND.reduction_factor)
        stored = optuna.load_study(study_name=study.name, storage=storage, pruner=pruner)
        return pruner.prune(stored, study.get_trial(number)) and epoch < HYPERBAND.max_epochs

    return should_prune


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    study = make_study(make_storage(tmp_path_factory.mktemp("undisturbed")))
    work(study, TOTAL)
    return describe_trials(study, TOTAL)


def test_killed_study_equals_an_undisturbed_one(undisturbed, tmp_path):
    storage = make_storage(tmp_path, MortalStorage)
    assert work_with_deaths(storage, TOTAL, seed=1) > 10
    assert describe_trials(make_study(storage), TOTAL) == undisturbed


def test_undisturbed_study_prunes_some_trials_and_finishes_some(undisturbed):
    states = [state for _, state, *_ in undisturbed]
    assert {"PRUNED", "COMPLETE"} == set(states)
    assert min(states.count("PRUNED"), states.count("COMPLETE")) > 1


def test_killed_study_differs_if_decisions_are_not_stored_first(undisturbed, tmp_path, monkeypatch):
    storage = make_storage(tmp_path, MortalStorage)
    monkeypatch.setattr(Study, "should_prune", decide_like_optuna(storage))
    work_with_deaths(storage, TOTAL, seed=1)
    assert describe_trials(make_study(storage), TOTAL) != undisturbed


@pytest.mark.long
def test_decisions_on_a_copy_equal_those_of_optuna(undisturbed, tmp_path, monkeypatch):
    storage = make_storage(tmp_path)
    monkeypatch.setattr(Study, "should_prune", decide_like_optuna(storage))
    study = make_study(storage)
    work(study, TOTAL)
    assert describe_trials(study, TOTAL) == undisturbed


def test_number_of_trials_is_a_total_and_can_be_raised(undisturbed, tmp_path):
    study = make_study(make_storage(tmp_path))
    for total in (4, 2, TOTAL):
        work(study, total)
    assert describe_trials(study, TOTAL) == undisturbed
    assert describe_trials(study, 4) == undisturbed[:4]


def test_best_trial_is_the_first_of_equals_and_never_a_pruned_one(tmp_path):
    study = make_study(make_storage(tmp_path))
    for value in (0.7, 0.9, 0.9):
        study.finish(study.claim_trial(9, "me", frozenset()).number, value)
    pruned = study.claim_trial(9, "me", frozenset()).number
    study.should_prune(pruned, 1, 0.99)
    study.prune(pruned)
    assert find_best(study.list_trials(9)).number == 1


def test_another_space_under_the_same_name_is_refused(tmp_path):
    storage = make_storage(tmp_path)
    make_study(storage)
    with pytest.raises(SettingsError, match="another space") as error:
        make_study(storage, SPACE | {"optimizer": ["adam"]})
    assert error.value.fields == ("storage",)


def test_abandoned_trial_is_claimed_only_by_a_worker_that_knows_it_is_abandoned(tmp_path):
    study = make_study(make_storage(tmp_path))
    abandoned = study.claim_trial(3, "dead", frozenset())
    assert study.claim_trial(3, "stranger", frozenset()).number == 1
    assert study.claim_trial(3, "successor", frozenset({"dead"})).number == abandoned.number
    assert get_owner(study.get_trial(abandoned.number)) == "successor"


def test_of_two_workers_that_create_the_last_trial_at_once_one_waits(tmp_path, monkeypatch):
    study = make_study(make_storage(tmp_path))
    before = study.list_trials(1)
    assert study.claim_trial(1, "one", frozenset()).number == 0
    monkeypatch.setattr(study, "list_trials", lambda total: before)
    assert study.claim_trial(1, "other", frozenset()) is None
    monkeypatch.undo()
    assert [trial.state for trial in study.list_trials(2)] == [TrialState.RUNNING, TrialState.WAITING]
    assert study.claim_trial(2, "one", frozenset({"nobody"})).number == 0
    study.finish(0, 0.5)
    assert study.claim_trial(2, "one", frozenset()).number == 1, "the waiting trial is next once the total is higher"


def work_in_process(address, total, owner, barrier):
    study = make_study(open_storage(address))
    barrier.wait(60)
    work(study, total, owner)


def work_in_two_processes(address, total):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [
        context.Process(target=work_in_process, args=(address, total, owner, barrier)) for owner in ("one", "other")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return make_study(open_storage(address)).list_trials(2 * total)


def check_shared(trials, total):
    finished = [trial for trial in trials if trial.state.is_finished()]
    assert [trial.number for trial in finished] == list(range(total))
    assert {trial.state for trial in trials[total:]} <= {TrialState.WAITING}
    assert {get_owner(trial) for trial in finished} == {"one", "other"}


def test_two_processes_share_the_trials_of_an_sqlite_file(tmp_path):
    check_shared(work_in_two_processes(f"sqlite:///{tmp_path / 'study.db'}", 8), 8)


def test_two_processes_share_the_trials_of_a_postgresql_server(postgres):
    check_shared(work_in_two_processes(postgres, 8), 8)
