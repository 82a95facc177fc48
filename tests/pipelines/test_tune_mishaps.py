"""Failures during a study, several workers, and settings that a study refuses. No trial is wasted or lost."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import pytest
import torch
from optuna.trial import TrialState

from tests.faults.mishaps import run_until_killed
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run, rewrite_manifest
from tests.training.studies import QUICK, SPACE, create_study_run, find_trial_runs, read_trials
from tfm.core import files
from tfm.core.errors import HaltedError
from tfm.core.events import Event, Metrics, Note
from tfm.core.runs import worker
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.pipelines import train
from tfm.training import device, gpu_lock, loop
from tfm.training.tasks.classification import Classification
from tfm.training.tune import run_trials
from tfm.training.tune.storage import open_storage
from tfm.training.tune.study import Study

TAME = SPACE | {"learning_rate": [0.02]}


@pytest.fixture
def products(workspace: Workspace) -> Workspace:
    make_small_dataset(workspace)
    return workspace


def states(study: Run) -> list[str]:
    return [trial.state.name for trial in read_trials(study)]


def execute_study(study: Run) -> str:
    return worker.execute_run(study, stopping=study)


# --- failures -----------------------------------------------------------------------------------------------------


def full_disk() -> Exception:
    return OSError(errno.ENOSPC, "No space left on device")


def failed_disk() -> Exception:
    return OSError(errno.EIO, "Input/output error")


def killed_rank() -> Exception:
    return HaltedError("process 2 of 2 was killed (SIGKILL)", hint="it can be resumed")


@pytest.mark.parametrize("mishap", [full_disk, failed_disk, killed_rank])
def test_an_external_failure_halts_the_study_and_a_resume_completes_the_trial(products, monkeypatch, mishap):
    run = create_study_run(products, 2, space=TAME)
    train_undisturbed, epochs = train.run_training, []

    def train_with_mishap(*args) -> Iterator[Event]:
        for event in train_undisturbed(*args):
            yield event
            if isinstance(event, Metrics) and len(run.read_status().runs) == 2:
                epochs.append(event)
                raise mishap()

    with monkeypatch.context() as patched:
        patched.setattr(train, "run_training", train_with_mishap)
        assert execute_study(run) == "halted"
    assert run.read_status().message.startswith("trial 1 is halted: ")
    assert str(mishap()).rpartition("] ")[2] in run.read_status().message
    assert run.read_status().hint
    assert states(run) == ["COMPLETE", "RUNNING"]
    finish_run(run)
    assert "FAIL" not in states(run)
    assert len(epochs) == 1


def test_an_epoch_whose_table_did_not_fit_on_the_disk_counts_in_the_study(products, monkeypatch):
    run = create_study_run(products, 1, space=TAME)
    write = loop.write_metrics

    def write_with_full_disk(file, training, columns):
        if training.state.epoch == 1:
            raise full_disk()
        write(file, training, columns)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "write_metrics", write_with_full_disk)
        assert execute_study(run) == "halted"
    finish_run(run)
    (trial,) = read_trials(run)
    assert list(trial.intermediate_values) == [1, 2]


def test_a_trial_out_of_memory_fails_and_the_study_continues(products, monkeypatch):
    run = create_study_run(products, 2, space=TAME)
    compute_loss = Classification.compute_loss

    def run_out_of_memory(*args):
        if len(run.read_status().runs) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return compute_loss(*args)

    monkeypatch.setattr(Classification, "compute_loss", run_out_of_memory)
    finish_run(run)
    assert states(run) == ["FAIL", "COMPLETE"]
    assert "too small for batches of 9" in find_trial_runs(run)[0].read_status().message


def test_a_trial_completed_by_another_process_is_reported_to_hyperband(products, monkeypatch):
    """The run of the trial is resumed from the menu, while the study is about to work on it."""
    run = create_study_run(products, 1, space=TAME)
    work = run_trials.execute

    def work_after_other_process(child: Run) -> Iterator[Event]:
        assert worker.execute_run(child, stopping=child) == "done"
        yield from work(child)

    monkeypatch.setattr(run_trials, "execute", work_after_other_process)
    finish_run(run)
    (trial,) = read_trials(run)
    assert list(trial.intermediate_values) == [1, 2]


def test_a_lock_taken_just_before_the_start_is_waited_for(products, monkeypatch):
    monkeypatch.setattr(run_trials, "POLL_SECONDS", 0.01)
    run = create_study_run(products, 1, space=TAME)
    work, tries = run_trials.execute, []

    def work_with_lock_taken_once(child: Run) -> Iterator[Event]:
        tries.append(child.id)
        with child.hold_lock() if len(tries) == 1 else contextlib.nullcontext():
            yield from work(child)

    monkeypatch.setattr(run_trials, "execute", work_with_lock_taken_once)
    finish_run(run)
    assert len(tries) == 2
    assert states(run) == ["COMPLETE"]


# --- several workers --------------------------------------------------------------------------------------------------


def two_workers(workspace: Workspace, trials: int) -> list[Run]:
    storage = f"sqlite:///{workspace.root / 'study.db'}"
    return [create_study_run(workspace, trials, space=TAME, storage=storage, worker=number) for number in (1, 2)]


@pytest.mark.long
def test_two_workers_at_once_share_the_trials_of_one_file(products, monkeypatch):
    monkeypatch.setattr(run_trials, "POLL_SECONDS", 0.1)
    first, second = two_workers(products, 4)
    started = ThisMachine().submit(first)
    finish_run(second)
    assert started.process.wait(timeout=120) == 0, first.log_file.read_text()
    worked = [*first.read_status().runs, *second.read_status().runs]
    assert sorted(worked) == ["0", "1", "2", "3"], "no trial is lost, and none is worked on twice"
    assert len({run.id for run in (*find_trial_runs(first), *find_trial_runs(second))}) == 4
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in read_trials(first))
    assert first.read_status().result["best_trial"] == second.read_status().result["best_trial"]


@pytest.mark.long
def test_a_worker_continues_the_trial_of_a_killed_worker(products):
    first, second = two_workers(products, 1)
    run_until_killed(first, "in_the_middle_of_writing", 3)
    (left,) = find_trial_runs(first)
    left.request_pause()  # which no process was left to see
    finish_run(second)
    assert find_trial_runs(second)[0].id == left.id
    assert any(isinstance(event, Note) and "resuming from a checkpoint" in event.text for event in left.read_events())


def test_a_worker_abandons_a_trial_that_another_took_over(products, monkeypatch):
    """A worker that was suspended for an hour may find this."""
    run = create_study_run(products, 1, space=TAME)
    train_undisturbed = train.run_training

    def train_while_taken_over(*args) -> Iterator[Event]:
        for event in train_undisturbed(*args):
            if isinstance(event, Metrics):
                storage = open_storage(f"sqlite:///{run.study_file}")
                (study,) = storage.get_all_studies()
                study_id = storage.get_study_id_from_name(study.study_name)
                trial = storage.get_trial_id_from_study_id_trial_number(study_id, 0)
                storage.set_trial_user_attr(trial, "owner", "another on elsewhere:/workspace")
                storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.9])
            yield event

    monkeypatch.setattr(train, "run_training", train_while_taken_over)
    assert finish_run(run).read_status().result["val_auc"] == 0.9
    notes = [event.text for event in run.read_events() if isinstance(event, Note)]
    assert any("trial 0 " in note and "another on elsewhere:/workspace" in note for note in notes)


def test_a_study_waits_for_the_gpu_and_names_the_run_that_uses_it(products, monkeypatch):
    prepare = device.prepare_device

    def prepare_and_lock(settings, run, held):
        found = yield from prepare(settings, run, held)
        yield from device.lock_gpu("gpu-of-two-studies", run.id, held)
        return found

    monkeypatch.setattr(train, "prepare_device", prepare_and_lock)
    monkeypatch.setattr(gpu_lock, "POLL_SECONDS", 0.01)
    run = create_study_run(products, 1, space=TAME)
    with contextlib.ExitStack() as held:
        list(device.lock_gpu("gpu-of-two-studies", "a-trial-of-another-study", held))
        with contextlib.closing(worker.execute(run)) as events:
            for event in events:
                if isinstance(event, Note) and event.text.startswith(gpu_lock.WAITING):
                    assert "a-trial-of-another-study uses it" in event.text
                    held.close()
    assert run.read_status().state == "done"
    assert any(isinstance(event, Note) and gpu_lock.WAITING in event.text for event in run.read_events())


# --- refused before the first trial ----------------------------------------------------------------------------------


def test_unreachable_weights_are_refused_with_a_hint_about_the_space(products, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    run = create_study_run(products, 1, space={"learning_rate": [0.02]})
    assert execute_study(run) == "failed"
    assert "space={weights: [none]}" in run.read_status().hint
    assert "space={weights: [file:" in run.read_status().hint
    assert "setting: weights" not in run.read_status().hint
    assert not run.read_status().runs


def test_incompatible_values_fail_only_their_trial(products, monkeypatch):
    suggest = Study.suggest_values
    odd = {"architecture": "MammoCNN", "weights": "imagenet"}
    monkeypatch.setattr(
        Study, "suggest_values", lambda study, trial: suggest(study, trial) | (odd if trial.number == 0 else {})
    )
    run = finish_run(create_study_run(products, 2, space=TAME))
    assert states(run) == ["FAIL", "COMPLETE"]
    assert any(
        isinstance(event, Note) and "no ImageNet weights for MammoCNN" in event.text for event in run.read_events()
    )


def test_a_cache_of_other_images_is_refused_before_the_first_trial(products):
    make_small_dataset(products, "other")
    index = products.cache_folder("other") / "index.csv"
    index.write_text(index.read_text().replace(",1.2.", ",9.9."))
    run = create_study_run(products, 1, space=TAME, caches=["other"])
    assert execute_study(run) == "failed"
    assert "are not in the cache" in run.read_status().message
    assert not run.read_status().runs


def test_patients_seen_by_the_weights_count_as_seen_by_the_study(products):
    make_small_dataset(products, "others")

    def others(manifest):
        return manifest.assign(patient_id="Q" + manifest["patient_id"])

    rewrite_manifest(products, others, "others")
    given = {"architecture": "test_resnet", "epochs": 1, "dataset": "others", "cache": "others"}
    before = finish_run(make_train_run(products, "ResNet18_CFT", **given))
    run = create_study_run(products, 1, space=TAME | {"weights": [f"run:{before.id}"]})
    with contextlib.closing(worker.execute(run)) as events:
        assert isinstance(next(events), Note)
    assert set(before.read_environment()["patients_seen"]) < set(run.read_environment()["patients_seen"])


def test_trials_take_other_settings_from_the_preset(products):
    settings = presets.load_preset("models", "ResNet18_CFT").settings | {"machine": {"precision": "bf16"}, "seed": 99}
    (products.root / "models").mkdir()
    files.write_yaml(
        products.root / "models" / "Mine.yaml", {"title": "Mine", "about": "x", "stage": "train", "settings": settings}
    )
    given = {name: value for name, value in QUICK.items() if name != "checkpoint_seconds"}
    run = finish_run(find_or_create_job(products, "tune", given | {"space": TAME, "trials": 1, "model": "Mine"}))
    (trial,) = find_trial_runs(run)
    assert trial.read_settings()["machine"]["precision"] == "bf16"
    assert trial.read_settings()["machine"]["device"] == QUICK["device"]
    assert trial.read_settings()["seed"] == 99
