"""What befalls a study's trials from outside, and what does not go together: none is burnt, none is lost."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import pytest
import torch
from optuna.trial import TrialState

from tests.faults.mishaps import killed
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run, rewrite_manifest
from tests.training.studies import QUICK, SPACE, create_study_run, find_trial_runs, read_trials
from tfm.core import files
from tfm.core.errors import HaltedError
from tfm.core.events import Event, Metrics, Note
from tfm.core.runs import worker
from tfm.core.runs.launch import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.pipelines import train
from tfm.training import device, gpu_lock, loop
from tfm.training.tune import search
from tfm.training.tune.storage import open_storage
from tfm.training.tune.study import Study

TAME = SPACE | {"learning_rate": [0.02]}


@pytest.fixture
def products(workspace: Workspace) -> Workspace:
    make_small_dataset(workspace)
    return workspace


def states(study: Run) -> list[str]:
    return [trial.state.name for trial in read_trials(study)]


def taken(study: Run) -> str:
    return worker.execute_run(study, stopping=study)


# --- from outside -----------------------------------------------------------------------------------------------------


def full_disk() -> Exception:
    return OSError(errno.ENOSPC, "No space left on device")


def killed_rank() -> Exception:
    return HaltedError("process 2 of 2 was killed (SIGKILL)", hint="it can go on")


@pytest.mark.parametrize("mishap", [full_disk, killed_rank])
def test_what_is_no_fault_of_the_trial_halts_the_study_which_takes_it_up_again(products, monkeypatch, mishap):
    run = create_study_run(products, 2, space=TAME)
    learn, told = train.learn, []

    def interrupted(*words, **named) -> Iterator[Event]:
        for event in learn(*words, **named):
            yield event
            if isinstance(event, Metrics) and len(run.read_status().runs) == 2:
                told.append(event)
                raise mishap()

    with monkeypatch.context() as patched:
        patched.setattr(train, "learn", interrupted)
        assert taken(run) == "halted"
    assert run.read_status().message.startswith("trial 1 is halted: ")
    assert str(mishap()).rpartition("] ")[2] in run.read_status().message
    assert run.read_status().hint
    assert states(run) == ["COMPLETE", "RUNNING"]
    finish_run(run)
    assert "FAIL" not in states(run)
    assert len(told) == 1


def test_a_trial_out_of_memory_fails_and_the_study_goes_on(products, monkeypatch):
    run = create_study_run(products, 2, space=TAME)
    backward = loop._backward

    def too_much(*words, **named):
        if len(run.read_status().runs) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return backward(*words, **named)

    monkeypatch.setattr(loop, "_backward", too_much)
    finish_run(run)
    assert states(run) == ["FAIL", "COMPLETE"]
    assert "too small for batches of 9" in find_trial_runs(run)[0].read_status().message


def test_a_trial_that_somebody_else_worked_is_told_to_hyperband(products, monkeypatch):
    """Resumed by itself from the menu, while the study wants it too."""
    run = create_study_run(products, 1, space=TAME)
    work = search.execute

    def taken_just_before(child: Run) -> Iterator[Event]:
        assert worker.execute_run(child, stopping=child) == "done"
        yield from work(child)

    monkeypatch.setattr(search, "execute", taken_just_before)
    finish_run(run)
    (trial,) = read_trials(run)
    assert list(trial.intermediate_values) == [1, 2]


def test_a_lock_that_is_taken_between_look_and_work_is_waited_for(products, monkeypatch):
    monkeypatch.setattr(search, "POLL_SECONDS", 0.01)
    run = create_study_run(products, 1, space=TAME)
    work, tries = search.execute, []

    def worked(child: Run) -> Iterator[Event]:
        tries.append(child.id)
        with child.hold_lock() if len(tries) == 1 else contextlib.nullcontext():
            yield from work(child)

    monkeypatch.setattr(search, "execute", worked)
    finish_run(run)
    assert len(tries) == 2
    assert states(run) == ["COMPLETE"]


# --- several workers --------------------------------------------------------------------------------------------------


def two_workers(workspace: Workspace, trials: int) -> list[Run]:
    storage = f"sqlite:///{workspace.root / 'study.db'}"
    return [create_study_run(workspace, trials, space=TAME, storage=storage, worker=number) for number in (1, 2)]


@pytest.mark.long
def test_two_workers_at_once_share_the_trials_of_one_file(products, monkeypatch):
    monkeypatch.setattr(search, "POLL_SECONDS", 0.1)
    first, second = two_workers(products, 4)
    started = worker.start_worker(first)
    finish_run(second)
    assert started.process.wait(timeout=120) == 0, first.log_file.read_text()
    worked = [*first.read_status().runs, *second.read_status().runs]
    assert sorted(worked) == ["0", "1", "2", "3"], "none is lost, and each was somebody's alone"
    assert len({run.id for run in (*find_trial_runs(first), *find_trial_runs(second))}) == 4
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in read_trials(first))
    assert first.read_status().result["best_trial"] == second.read_status().result["best_trial"]


@pytest.mark.long
def test_a_worker_goes_on_inside_the_trial_that_another_was_killed_in(products):
    first, second = two_workers(products, 1)
    killed(first, "in_the_middle_of_writing", 3)
    (left,) = find_trial_runs(first)
    left.request_pause()  # which nobody saw any more
    finish_run(second)
    assert find_trial_runs(second)[0].id == left.id
    assert any(isinstance(event, Note) and "resuming from a checkpoint" in event.text for event in left.read_events())


def test_a_worker_whose_trial_was_taken_up_meanwhile_lets_go_of_it(products, monkeypatch):
    """As one that slept for an hour may find it."""
    run = create_study_run(products, 1, space=TAME)
    learn = train.learn

    def overtaken(*words, **named) -> Iterator[Event]:
        for event in learn(*words, **named):
            if isinstance(event, Metrics):
                storage, (trial,) = open_storage(f"sqlite:///{run.study_file}"), read_trials(run)
                storage.set_trial_user_attr(trial._trial_id, "owner", "another on elsewhere:/workspace")
                storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.9])
            yield event

    monkeypatch.setattr(train, "learn", overtaken)
    assert finish_run(run).read_status().result["val_auc"] == 0.9
    notes = [event.text for event in run.read_events() if isinstance(event, Note)]
    assert any("trial 0 " in note and "another on elsewhere:/workspace" in note for note in notes)


def test_a_study_waits_for_the_gpu_of_another_and_says_for_whom(products, monkeypatch):
    prepare = device.prepare_device

    def with_a_turn(settings, run, held):
        found = yield from prepare(settings, run, held)
        yield from device.lock_gpu("gpu-of-two-studies", run.id, held)
        return found

    monkeypatch.setattr(train, "prepare", with_a_turn)
    monkeypatch.setattr(gpu_lock, "_POLL_SECONDS", 0.01)
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


def test_weights_out_of_reach_are_refused_with_what_a_study_can_be_told(products, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    run = create_study_run(products, 1, space={"learning_rate": [0.02]})
    assert taken(run) == "failed"
    assert "space={weights: [none]}" in run.read_status().hint
    assert "space={weights: [file:" in run.read_status().hint
    assert "setting: weights" not in run.read_status().hint
    assert not run.read_status().runs


def test_values_that_do_not_go_together_fail_their_trial_and_no_other(products, monkeypatch):
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
    assert taken(run) == "failed"
    assert "are not in the cache" in run.read_status().message
    assert not run.read_status().runs


def test_whom_the_weights_of_its_model_have_seen_the_study_has_seen_too(products):
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


def test_what_the_study_is_not_told_its_trials_take_from_the_preset(products):
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
