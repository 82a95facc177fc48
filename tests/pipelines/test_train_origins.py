"""Where a run starts from: weights or the end of another run, a fold, a cache; and what is refused."""

import csv

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.small_dataset import (
    QUICK_SETTINGS,
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
    stop_after_steps,
)
from tfm.core import registry
from tfm.core.errors import SettingsError
from tfm.core.events import Note
from tfm.core.runs import find_or_create, resolve_command_settings, restart_or_extend, worker
from tfm.core.runs.workspace import Workspace
from tfm.training.checkpoint import read_checkpoint
from tfm.training.minutes_of_work import measure_minutes_of_work

TINY = {"architecture": "test_resnet", "epochs": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("origins") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY, ema=0.5))


def rename_patients(workspace, name="others"):
    """Make the same images with names of patients that no run has seen."""
    make_small_dataset(workspace, name)

    def renamed(manifest):
        return manifest.assign(patient_id=name + manifest["patient_id"])

    rewrite_manifest(workspace, renamed, name)


def refused(run) -> str:
    assert worker.execute_run(run, stopping=run) == "failed"
    return run.read_status().message


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-1000])


def anew(extension):
    return find_or_create.find_or_create_run(
        extension.workspace,
        registry.find_stage("train"),
        resolve_command_settings.load_settings(extension),
        resolve_command_settings.find_preset(extension.workspace, "train", extension.read_preset()),
        fresh=True,
    )


def warnings(run):
    return [event.text for event in run.read_events() if isinstance(event, Note) and event.level == "warning"]


def test_weights_that_have_seen_validation_or_test_patients_are_refused(trained):
    run = make_train_run(trained.workspace, "ResNet18_CFT", **TINY, seed=1, weights=f"run:{trained.id}")
    said = refused(run)
    assert f"the weights of {trained.id} have seen 8 of the 8 validation patients: P_val00" in said
    assert "other patients" in run.read_status().hint
    assert not run.checkpoints_folder.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(("stage", "presets"), [("train", ["ResNet18_CFT"]), ("pretrain", [])])
def test_invalid_weights_are_reported_before_waiting_for_a_gpu(trained, stage, presets):
    given = QUICK_SETTINGS | {
        "architecture": "test_resnet",
        "weights": f"run:{trained.id}",
        "device": "cuda:0",
        "seed": 2,
    }
    run = find_or_create.find_or_create_job(trained.workspace, stage, given, presets)
    assert f"the weights of {trained.id} have seen" in refused(run)


def test_weights_of_unknown_origin_are_named_in_every_run_that_starts_from_them(trained, tmp_path):
    mine = tmp_path / "mine.pth"
    mine.write_bytes((trained.checkpoints_folder / "best.pt").read_bytes())
    first = finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **TINY, weights=f"file:{mine}"))
    assert first.read_status().result["weights"] == "mine.pth: origin unknown"
    weights = f"run:{first.id}"
    for name in ("second", "third"):
        rename_patients(trained.workspace, name)
        given = TINY | {"dataset": name, "cache": name, "weights": weights}
        run = finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **given))
        assert run.read_status().result["weights"] == f"run {weights[4:]}; mine.pth: origin unknown"
        weights = f"run:{run.id}"


def test_a_run_without_checkpoints_is_refused_as_weights_and_unchanged(trained):
    other = finish_run(find_or_create.find_or_create_job(trained.workspace, "evaluate", {"runs": [trained.id]}))
    before = sorted(other.folder.iterdir())
    with pytest.raises(SettingsError, match=f"{other.id} has no best checkpoint"):
        make_train_run(trained.workspace, "ResNet18_CFT", **TINY, weights=f"run:{other.id}")
    assert sorted(other.folder.iterdir()) == before


def test_weights_of_a_run_on_other_patients_are_used_and_their_patients_count_as_seen(trained):
    rename_patients(trained.workspace)
    given = TINY | {"dataset": "others", "cache": "others", "weights": f"run:{trained.id}", "learning_rate": 1e-12}
    run = finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **given, weight_decay=0.0))
    ours, theirs = (read_checkpoint(one.checkpoints_folder / "best.pt")["network"] for one in (run, trained))
    name = next(name for name, tensor in ours.items() if tensor.ndim == 4)
    assert torch.allclose(ours[name], theirs[name], atol=1e-6)
    seen = run.read_environment()["patients_seen"]
    assert set(trained.read_environment()["patients_seen"]) < set(seen)
    assert any(patient.startswith("othersP_val") for patient in seen)
    assert run.read_status().result["weights"] == f"run {trained.id}"


def test_changed_weights_of_a_run_are_refused(trained):
    rename_patients(trained.workspace, "strangers")
    given = TINY | {"dataset": "strangers", "cache": "strangers", "weights": f"run:{trained.id}"}
    best = trained.checkpoints_folder / "best.pt"
    before = best.read_bytes()
    try:
        raw = bytearray(before)
        raw[len(raw) // 2] ^= 1
        best.write_bytes(raw)
        said = refused(make_train_run(trained.workspace, "ResNet18_CFT", **given))
    finally:
        best.write_bytes(before)
    assert f"the outputs of {trained.id} are missing or changed" in said


def test_an_extension_continues_from_the_last_checkpoint_on_the_new_curve(trained):
    run = finish_run(restart_or_extend.extend_run(trained, 4))
    assert run.id != trained.id
    metrics, before = (pd.read_csv(one.metrics_file) for one in (run, trained))
    assert list(metrics["epoch"]) == [1, 2, 3, 4]
    assert metrics.iloc[0].equals(before.iloc[0])
    assert metrics["learning_rate"][1] > before["learning_rate"][0], "of four epochs the second is not near the end"
    assert read_checkpoint(run.checkpoints_folder / "last.pt")["standing"]["step"] == 16
    assert run.read_status().result["val_auc"] >= trained.read_status().result["val_auc"]
    assert trained.has_intact_outputs()
    alone = run.read_status().seconds / 60
    assert measure_minutes_of_work(run) == pytest.approx(alone + trained.read_status().seconds / 60), "those of both"


def test_a_stopped_extension_ends_as_an_undisturbed_one(trained):
    whole = finish_run(restart_or_extend.extend_run(trained, 3))
    stopped = anew(whole)
    stop_after_steps(stopped, 6)
    finish_run(stopped)
    for name in ("val", "test"):
        assert stopped.predictions_file(name).read_bytes() == whole.predictions_file(name).read_bytes()
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()


def test_an_extension_killed_between_two_renames_loses_nothing(trained):
    whole = finish_run(restart_or_extend.extend_run(trained, 3))
    stopped = anew(whole)
    stop_after_steps(stopped, 6)
    last, previous = (stopped.checkpoints_folder / name for name in ("last.pt", "previous.pt"))
    assert read_checkpoint(last)["standing"]["epoch"] == 2
    last.replace(previous)
    finish_run(stopped)
    told = " ".join(event.text for event in stopped.read_events() if isinstance(event, Note))
    assert "resuming from a checkpoint: 2 epochs" in told
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()


def test_an_extension_with_two_damaged_checkpoints_starts_from_the_extended_run_again(trained):
    whole = finish_run(restart_or_extend.extend_run(trained, 3))
    stopped = anew(whole)
    stop_after_steps(stopped, 6)
    for name in ("last.pt", "previous.pt"):
        cut_off(stopped.checkpoints_folder / name)
    finish_run(stopped)
    damaged = [text for text in warnings(stopped) if text.startswith("checkpoint ")]
    assert [text.split()[1] for text in damaged] == ["last.pt", "previous.pt"]
    assert all(f"starts over from the end of {trained.id}" in text for text in damaged)
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()


def test_an_extension_reports_a_damaged_checkpoint_of_the_extended_run(trained):
    two = finish_run(restart_or_extend.extend_run(trained, 2))
    cut_off(two.checkpoints_folder / "last.pt")
    run = finish_run(restart_or_extend.extend_run(two, 3))
    (warning,) = warnings(run)
    assert f"{two.id}'s checkpoint last.pt cannot be used" in warning
    assert "using the previous one" in warning
    assert list(pd.read_csv(run.metrics_file)["epoch"]) == [1, 2, 3]


def test_an_extension_on_another_split_is_refused(trained):
    run = restart_or_extend.extend_run(trained, 4)
    moved = trained.workspace.dataset_folder("pocket") / "manifest.csv"
    before = moved.read_bytes()
    try:
        rewrite_manifest(
            trained.workspace,
            lambda manifest: manifest.assign(
                split=manifest["split"].mask(manifest["patient_id"] == "P_train00", "test")
            ),
        )
        again = restart_or_extend.extend_run(trained, 4)
        assert again.id != run.id
        assert "dataset and split" in refused(again)
        assert "have changed since it was trained" in again.read_status().message
    finally:
        moved.write_bytes(before)


def test_changed_pixels_are_noticed_on_resume(workspace):
    make_small_dataset(workspace)
    run = make_train_run(workspace, "ResNet18_CFT", **TINY)
    stop_after_steps(run, 1)
    path = workspace.cache_folder("pocket") / "images.npy"
    images = np.load(path)
    images[-1, 30, 30] ^= 1  # a test image's, which nothing before the end would read
    np.save(path, images)
    assert "the images of the cache pocket have changed since this run started" in refused(run)
    assert f"runs restart {run.id}" in run.read_status().hint


def test_folds_choose_validation_and_are_refused_for_a_dataset_without_folds(workspace):
    make_small_dataset(workspace)
    assert registry.find_stage("train").repeats[0].word == "folds"
    with pytest.raises(SettingsError, match="fold: 2 is too high"):
        make_train_run(workspace, "ResNet18_CFT", **TINY, fold=2)

    def folded(manifest):
        patients = sorted(set(manifest["patient_id"][manifest["split"] != "test"]))
        dealt = {patient: number // 2 % 5 + 1 for number, patient in enumerate(patients)}
        folds = manifest["patient_id"].map(dealt).fillna(0).astype(int)
        return manifest.assign(fold=folds, split=np.select([folds == 0, folds == 1], ["test", "val"], "train"))

    rewrite_manifest(workspace, folded)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY, fold=2))
    manifest = pd.read_csv(workspace.dataset_folder("pocket") / "manifest.csv")
    judged = set(pd.read_csv(run.predictions_file("val"))["image_id"])
    assert judged == set(manifest["image_id"][manifest["fold"] == 2])
    first, unsaid = (make_train_run(workspace, "ResNet18_CFT", **TINY, **given) for given in ({"fold": 1}, {}))
    assert first.id == unsaid.id, "one training under one key"
    plan = find_or_create.find_or_create_job(
        workspace, "train", {"dataset": "pocket", **TINY, "folds": 3, "seeds": 2}, ["ResNet18_CFT"]
    )
    assert [step.name for step in plan.read_steps()][:3] == [
        "ResNet18_CFT-fold1-seed7",
        "ResNet18_CFT-fold1-seed8",
        "ResNet18_CFT-fold2-seed7",
    ]
    with pytest.raises(SettingsError, match="6 folds"):
        find_or_create.find_or_create_job(
            workspace, "train", {"dataset": "pocket", **TINY, "folds": 6}, ["ResNet18_CFT"]
        )


def test_mirrored_images_are_predicted_for_validation_and_test(trained):
    run = finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **TINY, ema=0.5, tta=True))
    for split in ("val", "test"):
        with open(run.predictions_file(split)) as ours, open(trained.predictions_file(split)) as theirs:
            pairs = list(zip(csv.DictReader(ours), csv.DictReader(theirs), strict=True))
        assert all(one["image_id"] == other["image_id"] for one, other in pairs)
        assert any(one["prob"] != other["prob"] for one, other in pairs)
    assert run.metrics_file.read_bytes() == trained.metrics_file.read_bytes(), "training itself is the same"
