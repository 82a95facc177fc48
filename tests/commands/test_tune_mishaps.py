"""What befalls a study's trials from outside, and what does not go together: none is burnt, none is lost."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator

import pytest
import torch
from optuna.trial import TrialState

from tests.faults.mishaps import killed
from tests.training.pocket import finish, make_products, rewrite_manifest, train_run
from tests.training.studies import QUICK, SPACE, study_run, trial_runs, trials_of
from tfm.core import files
from tfm.core.errors import HaltedError, SettingsError
from tfm.core.events import Event, Metrics, Note
from tfm.core.runs import worker
from tfm.core.runs.launch import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.pipelines import train
from tfm.training import device, gpu_lock, loop
from tfm.training.tune import search
from tfm.training.tune.settings import HyperbandSettings
from tfm.training.tune.storage import open_storage
from tfm.training.tune.study import Study, count_silent_seconds
from tfm.training.tune.trial_settings import check_values, given_to_trial

TAME = SPACE | {"learning_rate": [0.02]}


@pytest.fixture
def products(workspace: Workspace) -> Workspace:
    make_products(workspace)
    return workspace


def states(study: Run) -> list[str]:
    return [trial.state.name for trial in trials_of(study)]


def taken(study: Run) -> str:
    return worker.execute_run(study, stopping=study)


# --- from outside -----------------------------------------------------------------------------------------------------


def full_disk() -> Exception:
    return OSError(errno.ENOSPC, "No space left on device")


def killed_rank() -> Exception:
    return HaltedError("process 2 of 2 was killed (SIGKILL)", hint="it can go on")


@pytest.mark.parametrize("mishap", [full_disk, killed_rank])
def test_what_is_no_fault_of_the_trial_halts_the_study_which_takes_it_up_again(products, monkeypatch, mishap):
    run = study_run(products, 2, space=TAME)
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
    finish(run)
    assert "FAIL" not in states(run)
    assert len(told) == 1


def test_a_trial_out_of_memory_fails_and_the_study_goes_on(products, monkeypatch):
    run = study_run(products, 2, space=TAME)
    backward = loop._backward

    def too_much(*words, **named):
        if len(run.read_status().runs) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return backward(*words, **named)

    monkeypatch.setattr(loop, "_backward", too_much)
    finish(run)
    assert states(run) == ["FAIL", "COMPLETE"]
    assert "too small for batches of 9" in trial_runs(run)[0].read_status().message


def test_a_trial_that_somebody_else_worked_is_told_to_hyperband(products, monkeypatch):
    """Resumed by itself from the menu, while the study wants it too."""
    run = study_run(products, 1, space=TAME)
    work = search.execute

    def taken_just_before(child: Run) -> Iterator[Event]:
        assert worker.execute_run(child, stopping=child) == "done"
        yield from work(child)

    monkeypatch.setattr(search, "execute", taken_just_before)
    finish(run)
    (trial,) = trials_of(run)
    assert list(trial.intermediate_values) == [1, 2]


def test_a_lock_that_is_taken_between_look_and_work_is_waited_for(products, monkeypatch):
    monkeypatch.setattr(search, "_SECONDS_BETWEEN", 0.01)
    run = study_run(products, 1, space=TAME)
    work, tries = search.execute, []

    def worked(child: Run) -> Iterator[Event]:
        tries.append(child.id)
        with child.hold_lock() if len(tries) == 1 else contextlib.nullcontext():
            yield from work(child)

    monkeypatch.setattr(search, "execute", worked)
    finish(run)
    assert len(tries) == 2
    assert states(run) == ["COMPLETE"]


# --- several workers --------------------------------------------------------------------------------------------------


def two_workers(workspace: Workspace, trials: int) -> list[Run]:
    storage = f"sqlite:///{workspace.root / 'study.db'}"
    return [study_run(workspace, trials, space=TAME, storage=storage, worker=number) for number in (1, 2)]


@pytest.mark.long
def test_two_workers_at_once_share_the_trials_of_one_file(products, monkeypatch):
    monkeypatch.setattr(search, "_SECONDS_BETWEEN", 0.1)
    first, second = two_workers(products, 4)
    started = worker.start_worker(first)
    finish(second)
    assert started.process.wait(timeout=120) == 0, first.log_file.read_text()
    worked = [*first.read_status().runs, *second.read_status().runs]
    assert sorted(worked) == ["0", "1", "2", "3"], "none is lost, and each was somebody's alone"
    assert len({run.id for run in (*trial_runs(first), *trial_runs(second))}) == 4
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials_of(first))
    assert first.read_status().result["best_trial"] == second.read_status().result["best_trial"]


@pytest.mark.long
def test_a_worker_goes_on_inside_the_trial_that_another_was_killed_in(products):
    first, second = two_workers(products, 1)
    killed(first, "in_the_middle_of_writing", 3)
    (left,) = trial_runs(first)
    left.request_pause()  # which nobody saw any more
    finish(second)
    assert trial_runs(second)[0].id == left.id
    assert any(isinstance(event, Note) and "going on from a checkpoint" in event.text for event in left.read_events())


def searching(study: Study, run: Run) -> search.Search:
    return search.Search(run, study, 2, presets.load_preset("models", "ResNet18_CFT"), {}, [])


def test_a_worker_of_another_workspace_that_gives_no_sign_for_long_has_lost_its_trial(products, monkeypatch):
    study = Study(open_storage(f"sqlite:///{products.root / 's.db'}"), "tfm-t", TAME, HyperbandSettings(), 7)
    here = searching(study, study_run(products, 2, space=TAME))
    theirs = study.claim(2, "run-1 on elsewhere:/workspace", frozenset())
    assert not here._is_left(theirs)
    assert here._claimed().number == 1, "a new one, for they are at work on theirs"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 700)
    assert here._is_left(study.trial(theirs.number))
    study.seen(theirs.number)
    assert count_silent_seconds(study.trial(theirs.number)) == 0
    assert not here._is_left(study.trial(theirs.number))


def test_a_worker_whose_trial_was_taken_up_meanwhile_lets_go_of_it(products, monkeypatch):
    """As one that slept for an hour may find it."""
    run = study_run(products, 1, space=TAME)
    learn = train.learn

    def overtaken(*words, **named) -> Iterator[Event]:
        for event in learn(*words, **named):
            if isinstance(event, Metrics):
                storage, (trial,) = open_storage(f"sqlite:///{run.study_file}"), trials_of(run)
                storage.set_trial_user_attr(trial._trial_id, "owner", "another on elsewhere:/workspace")
                storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.9])
            yield event

    monkeypatch.setattr(train, "learn", overtaken)
    assert finish(run).read_status().result["val_auc"] == 0.9
    said = [event.text for event in run.read_events() if isinstance(event, Note)]
    assert "trial 0 was taken up by another on elsewhere:/workspace meanwhile" in said


def test_a_worker_that_stands_still_here_or_is_gone_has_left_its_trial(products):
    study = Study(open_storage(f"sqlite:///{products.root / 's.db'}"), "tfm-t", TAME, HyperbandSettings(), 7)
    run = study_run(products, 2, space=TAME)
    here = searching(study, run)
    other = study_run(products, 2, space=TAME, seed=9)
    claimed = study.claim(2, f"{other.id} on {here._here}", frozenset())
    with other.hold_lock():
        assert not here._is_left(claimed)
    assert here._is_left(claimed)
    gone = study.claim(2, f"removed on {here._here}", frozenset())
    assert here._is_left(gone)


def test_a_study_waits_for_the_gpu_of_another_and_says_for_whom(products, monkeypatch):
    prepare = device.prepare

    def with_a_turn(settings, run, held):
        found = yield from prepare(settings, run, held)
        yield from device.take_turn("gpu-of-two-studies", run.id, held)
        return found

    monkeypatch.setattr(train, "prepare", with_a_turn)
    monkeypatch.setattr(gpu_lock, "_POLL_SECONDS", 0.01)
    run = study_run(products, 1, space=TAME)
    with contextlib.ExitStack() as held:
        list(device.take_turn("gpu-of-two-studies", "a-trial-of-another-study", held))
        with contextlib.closing(worker.execute(run)) as events:
            for event in events:
                if isinstance(event, Note) and event.text.startswith(gpu_lock.WAITING):
                    assert "a-trial-of-another-study has it" in event.text
                    held.close()
    assert run.read_status().state == "done"
    assert any(isinstance(event, Note) and gpu_lock.WAITING in event.text for event in run.read_events())


# --- what does not go together ----------------------------------------------------------------------------------------

DATA = {"dataset": "pocket", "cache": "pocket"}
FROZEN = presets.load_preset("models", "ResNet50_Head")  # which changes no image
ROTATION = {"rotation": {"low": 0.0, "high": 30.0}}


def refusal_of(workspace: Workspace, preset: presets.Preset, space: dict) -> SettingsError:
    with pytest.raises(SettingsError) as refusal:
        check_values(workspace, preset, DATA, space)
    assert refusal.value.fields == ("space",)
    return refusal.value


def test_a_setting_that_has_no_effect_with_any_value_is_refused_before_the_first_trial(products):
    assert "rotation has no effect when augment is false" in refusal_of(products, FROZEN, ROTATION).message
    for augment in ([True], [True, False]):
        check_values(products, FROZEN, DATA, ROTATION | {"augment": augment})


def test_a_value_that_has_no_effect_in_a_combination_is_left_out_of_its_trial():
    drawn = DATA | {"augment": False, "rotation": 9.0, "dropout": 0.1}
    assert given_to_trial(FROZEN, drawn) == DATA | {"augment": False, "dropout": 0.1}
    unlabelled = {"label_percent": 100.0, "unlabelled": "pseudo", "confidence": 0.9}
    assert given_to_trial(FROZEN, DATA | unlabelled) == DATA | {"label_percent": 100.0}, "nor what hangs on that"


def test_weights_of_a_run_that_is_not_there_are_refused_before_the_first_trial(products):
    refusal = refusal_of(products, FROZEN, {"weights": ["imagenet", "run:nosuch"]})
    assert "holds run:nosuch for weights" in refusal.message
    assert "is called 'nosuch'" in refusal.message


def test_weights_out_of_reach_are_refused_with_what_a_study_can_be_told(products, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    run = study_run(products, 1, space={"learning_rate": [0.02]})
    assert taken(run) == "failed"
    assert "space={weights: [none]}" in run.read_status().hint
    assert "space={weights: [file:" in run.read_status().hint
    assert "setting: weights" not in run.read_status().hint
    assert not run.read_status().runs


def test_values_that_only_go_together_with_others_are_searched(products):
    check_values(products, FROZEN, DATA, {"architecture": ["MammoCNN", "resnet18"], "weights": ["none", "imagenet"]})
    assert "no ImageNet weights" in refusal_of(products, FROZEN, {"architecture": ["MammoCNN"]}).message


@pytest.mark.parametrize("space", presets.list_presets("tune"))
def test_every_space_that_ships_goes_with_its_model_or_with_each_that_is_trained(products, space):
    found = presets.load_preset("tune", space).settings
    for name in [found["model"]] if "model" in found else presets.list_presets("models"):
        preset = presets.load_preset("models", name)
        if preset.stage == "train" and preset.settings["model"].get("trained") != "none":
            check_values(products, preset, DATA, found["space"])


def test_values_that_do_not_go_together_fail_their_trial_and_no_other(products, monkeypatch):
    values = Study.values
    odd = {"architecture": "MammoCNN", "weights": "imagenet"}
    monkeypatch.setattr(Study, "values", lambda study, trial: values(study, trial) | (odd if trial.number == 0 else {}))
    run = finish(study_run(products, 2, space=TAME))
    assert states(run) == ["FAIL", "COMPLETE"]
    assert any(
        isinstance(event, Note) and "no ImageNet weights for MammoCNN" in event.text for event in run.read_events()
    )


def test_a_cache_of_other_images_is_refused_before_the_first_trial(products):
    make_products(products, "other")
    index = products.cache_folder("other") / "index.csv"
    index.write_text(index.read_text().replace(",1.2.", ",9.9."))
    run = study_run(products, 1, space=TAME, caches=["other"])
    assert taken(run) == "failed"
    assert "are not in the cache" in run.read_status().message
    assert not run.read_status().runs


def test_whom_the_weights_of_its_model_have_seen_the_study_has_seen_too(products):
    make_products(products, "others")

    def others(manifest):
        return manifest.assign(patient_id="Q" + manifest["patient_id"])

    rewrite_manifest(products, others, "others")
    given = {"architecture": "test_resnet", "epochs": 1, "dataset": "others", "cache": "others"}
    before = finish(train_run(products, "ResNet18_CFT", **given))
    run = study_run(products, 1, space=TAME | {"weights": [f"run:{before.id}"]})
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
    run = finish(find_or_create_job(products, "tune", given | {"space": TAME, "trials": 1, "model": "Mine"}))
    (trial,) = trial_runs(run)
    assert trial.read_settings()["machine"]["precision"] == "bf16"
    assert trial.read_settings()["machine"]["device"] == QUICK["device"]
    assert trial.read_settings()["seed"] == 99
