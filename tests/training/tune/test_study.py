"""A study's book-keeping, without any training: after any deaths it asks and judges as if there had been none, and
several workers share its trials."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from tfm.core.errors import SettingsError, TrainingError
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


class Mortal(RDBStorage):
    """Dies just after so many writes."""

    left = None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in WRITES or self.left is None:
            return found

        def write(*words, **named):
            said = found(*words, **named)
            self.left -= 1
            if self.left <= 0:
                raise Death
            return said

        return write


def in_file(folder, kind=RDBStorage):
    """It is processes that die here, not the machine: nothing need reach the disk."""
    storage = kind(f"sqlite:///{folder / 'study.db'}")
    event.listen(storage.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    storage.engine.dispose()
    return storage


def auc(values, epoch):
    """As a network might do: better with each epoch, best near a learning rate of a thousandth."""
    off = abs(values["learning_rate"] - 1e-3) ** 0.25 + values["dropout"] / 5 + (values["optimizer"] == "sgd") / 10
    return 0.9 - off / 2 - 0.3 / epoch


def work(study, total, owner="me"):
    while (trial := study.claim(total, owner, frozenset())) is not None:
        values = study.values(trial)
        for epoch in range(trial.last_step or 1, HYPERBAND.max_epochs + 1):
            if study.is_behind(trial.number, epoch, auc(values, epoch)):
                study.prune(trial.number)
                break
        else:
            study.finish(trial.number, auc(values, HYPERBAND.max_epochs))


def new_study(storage, space=SPACE):
    return Study(storage, "tfm-test", space, HYPERBAND, seed=7)


def told_of(study, total):
    return [
        (trial.number, trial.state.name, trial.params, trial.value, trial.intermediate_values, trial.system_attrs)
        for trial in study.trials(total)
    ]


def lived(storage, total, seed):
    """Until all is done, in lives of a few writes each."""
    fate, lives = random.Random(seed), 0
    while True:
        storage.left = None
        study = new_study(storage)
        storage.left = fate.randint(3, 12)
        with contextlib.suppress(Death):
            work(study, total)
            return lives
        lives += 1


def as_optuna_judges(study, number, epoch, best):
    study._storage.set_trial_intermediate_value(study.trial(number)._trial_id, epoch, best)
    return study._pruner.prune(study._study, study.trial(number)) and epoch < HYPERBAND.max_epochs


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    study = new_study(in_file(tmp_path_factory.mktemp("calm")))
    work(study, TOTAL)
    return told_of(study, TOTAL)


def test_a_study_that_died_again_and_again_equals_an_undisturbed_one(calm, tmp_path):
    storage = in_file(tmp_path, Mortal)
    assert lived(storage, TOTAL, seed=1) > 10
    storage.left = None
    assert told_of(new_study(storage), TOTAL) == calm


def test_the_study_of_the_proof_prunes_some_and_finishes_some(calm):
    states = [state for _, state, *_ in calm]
    assert {"PRUNED", "COMPLETE"} == set(states)
    assert min(states.count("PRUNED"), states.count("COMPLETE")) > 1


def test_the_proof_notices_a_judgement_that_is_not_written_down_first(calm, tmp_path, monkeypatch):
    """As Optuna judges by itself: it notes the rung first, and weighs the trial against itself when asked again."""

    monkeypatch.setattr(Study, "is_behind", as_optuna_judges)
    storage = in_file(tmp_path, Mortal)
    lived(storage, TOTAL, seed=1)
    storage.left = None
    assert told_of(new_study(storage), TOTAL) != calm


@pytest.mark.long
def test_judged_on_a_copy_a_trial_fares_as_optuna_judges(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(Study, "is_behind", as_optuna_judges)
    study = new_study(in_file(tmp_path))
    work(study, TOTAL)
    assert told_of(study, TOTAL) == calm


def test_so_many_trials_are_so_many_in_all(calm, tmp_path):
    study = new_study(in_file(tmp_path))
    for total in (4, 2, TOTAL):
        work(study, total)
    assert told_of(study, TOTAL) == calm
    assert told_of(study, 4) == calm[:4]


def test_of_equals_the_first_is_best_and_what_was_pruned_never(tmp_path):
    study = new_study(in_file(tmp_path))
    for value in (0.7, 0.9, 0.9):
        study.finish(study.claim(9, "me", frozenset()).number, value)
    pruned = study.claim(9, "me", frozenset()).number
    study.is_behind(pruned, 1, 0.99)
    study.prune(pruned)
    assert find_best(study.trials(9)).number == 1


def test_another_space_under_the_same_name_is_refused(tmp_path):
    storage = in_file(tmp_path)
    new_study(storage)
    with pytest.raises(SettingsError, match="searches another space"):
        new_study(storage, SPACE | {"optimizer": ["adam"]})


def test_a_trial_of_a_dead_worker_goes_to_its_heir_and_to_nobody_else(tmp_path):
    study = new_study(in_file(tmp_path))
    left = study.claim(3, "dead", frozenset())
    assert study.claim(3, "stranger", frozenset()).number == 1
    assert study.claim(3, "heir", frozenset({"dead"})).number == left.number
    assert get_owner(study.trial(left.number)) == "heir"


def test_where_two_make_the_last_trial_in_the_same_instant_one_of_them_waits(tmp_path, monkeypatch):
    study = new_study(in_file(tmp_path))
    seen_before_either_was_made = study.trials(1)
    assert study.claim(1, "one", frozenset()).number == 0
    monkeypatch.setattr(study, "trials", lambda total: seen_before_either_was_made)
    assert study.claim(1, "other", frozenset()) is None
    monkeypatch.undo()
    assert [trial.state for trial in study.trials(2)] == [TrialState.RUNNING, TrialState.WAITING]
    assert study.claim(2, "one", frozenset({"nobody"})).number == 0
    study.finish(0, 0.5)
    assert study.claim(2, "one", frozenset()).number == 1, "when there are to be more, it is the next"


def _worker(address, total, owner, both_there):
    study = new_study(open_storage(address))
    both_there.wait(60)
    work(study, total, owner)


def shared(address, total):
    """All trials, after two processes have worked at once."""
    start = multiprocessing.get_context("fork")
    both_there = start.Barrier(2)
    workers = [start.Process(target=_worker, args=(address, total, owner, both_there)) for owner in ("one", "other")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return new_study(open_storage(address)).trials(2 * total)


def check_shared(trials, total):
    finished = [trial for trial in trials if trial.state.is_finished()]
    assert [trial.number for trial in finished] == list(range(total))
    assert {trial.state for trial in trials[total:]} <= {TrialState.WAITING}
    assert {get_owner(trial) for trial in finished} == {"one", "other"}


def test_two_processes_share_the_trials_of_one_sqlite_file(tmp_path):
    check_shared(shared(f"sqlite:///{tmp_path / 'study.db'}", 8), 8)


@pytest.fixture
def postgres(tmp_path, monkeypatch):
    if not (find_spec("psycopg") and shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("needs psycopg, and initdb and postgres on PATH")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses to run as root
    folder = tmp_path / "pg"
    folder.mkdir()
    if user:
        for place in (folder, *(one for one in folder.parents if one.is_relative_to(tmp_path.parents[1]))):
            place.chmod(0o755)
        shutil.chown(folder, "postgres")
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    secret.chmod(0o644)
    words = ["initdb", "-D", folder / "data", "-U", "tfm", "-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run(words, check=True, capture_output=True, cwd="/", **user)
    port = 50000 + os.getpid() % 10000
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = subprocess.Popen(
        ["postgres", "-D", folder / "data", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        **user,
    )
    for line in server.stderr:
        if b"ready to accept" in line:
            break
    monkeypatch.setenv("PGPASSWORD", "secret")
    yield f"postgresql://tfm@127.0.0.1:{port}/postgres"
    server.send_signal(signal.SIGINT)  # without waiting for who is still connected
    server.communicate()


def test_two_processes_share_the_trials_of_a_postgresql_server(postgres):
    check_shared(shared(postgres, 8), 8)


def test_without_its_password_a_server_is_out_of_reach_in_words(postgres, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(TrainingError, match="cannot be reached") as refusal:
        open_storage(postgres)
    assert "PGPASSWORD" in refusal.value.hint


def test_a_storage_out_of_reach_is_told_in_words(tmp_path):
    with pytest.raises(TrainingError, match=r"the storage sqlite:.* cannot be used: unable to open"):
        open_storage(f"sqlite:///{tmp_path / 'nowhere' / 'study.db'}")


def test_a_driver_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(TrainingError, match="needs a driver") as refusal:
        open_storage("postgresql://tfm@host/studies")
    assert 'pip install "psycopg[binary]"' in refusal.value.hint
