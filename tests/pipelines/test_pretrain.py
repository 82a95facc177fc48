"""Pretraining: uses training patients only, resumes bit for bit, and gives its encoder to later trainings."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.faults.mishaps import SWIN, make_swin_small
from tests.training.results import flatten_checkpoint
from tests.training.small_dataset import (
    PATIENTS,
    QUICK_SETTINGS,
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
)
from tfm.core.errors import SettingsError, TFMError
from tfm.core.events import Metrics, Note, Picture, Progress
from tfm.core.registry import find_stage
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.workspace import Workspace
from tfm.training import checkpoint
from tfm.training.checkpoint import read_checkpoint

GIVEN = QUICK_SETTINGS | {"architecture": SWIN, "block": 16, "pictures_every": 2, "epochs": 3, "checkpoint_seconds": 0}


def pretrain_run(workspace, **given):
    return find_or_create_job(workspace, "pretrain", GIVEN | given, [])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("pretrain") / "workspace")
    make_small_dataset(workspace)
    with pytest.MonkeyPatch.context() as patch:
        make_swin_small(patch)
        return finish_run(pretrain_run(workspace))


def test_it_has_seen_training_patients_only(run):
    seen = run.read_environment()["patients_seen"]
    assert len(seen) == PATIENTS["train"]
    assert all(patient.startswith("P_train") for patient in seen)
    told = " ".join(event.text for event in run.read_events() if isinstance(event, Note))
    count = PATIENTS["train"] - 1
    assert f"{2 * count} images of {count} patients for training; 2 images of 1 other" in told


def test_it_reports_and_shows_the_reconstruction(run):
    metrics = pd.read_csv(run.metrics_file)
    assert list(metrics.columns)[3:] == ["train_gain", "val_loss", "val_gain"]
    assert run.read_status().result["val_gain"] == pytest.approx(metrics["val_gain"].max())
    assert metrics["val_loss"].iloc[-1] < metrics["val_loss"].iloc[0]
    pictures = [event for event in run.read_events() if isinstance(event, Picture)]
    assert [picture.path.rpartition("/")[2] for picture in pictures] == ["epoch_0002.png", "epoch_0003.png"]
    assert all((run.figures_folder / f"epoch_000{epoch}.png").stat().st_size > 1000 for epoch in (2, 3))


def test_a_resumed_pretraining_ends_bit_identical_including_spectral_vectors(run, workspace, monkeypatch):
    make_swin_small(monkeypatch)
    monkeypatch.setattr(checkpoint, "WRITE_SHARE", 0)
    make_small_dataset(workspace)
    other = pretrain_run(workspace)
    for steps in (3, 4):
        generator = find_stage("pretrain").generate(load_settings(other), other)
        with other.hold_lock():
            for event in generator:
                steps -= isinstance(event, Progress) and event.name == "step"
                if not steps:
                    break
            generator.close()
    finish_run(other)
    assert other.metrics_file.read_bytes() == run.metrics_file.read_bytes()
    one, two = (flatten_checkpoint(read_checkpoint(which.checkpoints_folder / "last.pt")) for which in (run, other))
    assert any(place.startswith("/task/") for place in one), "the vectors are among what is compared"
    assert [place for place in one.keys() | two.keys() if one.get(place) != two.get(place)] == []


def test_a_run_stopped_after_an_epoch_still_has_its_picture(run, monkeypatch):
    make_swin_small(monkeypatch)
    other = pretrain_run(run.workspace, seed=9)
    for epoch in (2, 3):
        generator = find_stage("pretrain").generate(load_settings(other), other)
        with other.hold_lock():
            while not (isinstance(event := next(generator), Metrics) and event.values["epoch"] == epoch):
                pass
            generator.close()
    assert (other.figures_folder / "epoch_0002.png").is_file()
    finish_run(other)
    assert (other.figures_folder / "epoch_0003.png").is_file()


def test_a_training_on_the_same_dataset_can_use_the_encoder(run, monkeypatch):
    make_swin_small(monkeypatch)
    given = {"architecture": SWIN, "weights": f"run:{run.id}", "epochs": 1, "learning_rate": 1e-9}
    trained = finish_run(make_train_run(run.workspace, "ResNet18_CFT", **given))
    pretrained, taken = (read_checkpoint(one.checkpoints_folder / "best.pt")["network"] for one in (run, trained))
    encoder = {name.removeprefix("encoder."): one for name, one in pretrained.items() if name.startswith("encoder.")}
    assert set(taken) - set(encoder) == {"head.fc.weight", "head.fc.bias"}
    assert all(torch.allclose(taken[name], tensor, atol=1e-6) for name, tensor in encoder.items())
    assert set(trained.read_environment()["patients_seen"]) >= set(run.read_environment()["patients_seen"])


def refused(run):
    with pytest.raises(TFMError) as refusal, run.hold_lock():
        for _ in find_stage(run.read_stage()).generate(load_settings(run), run):
            pass
    return refusal.value


def test_an_encoder_of_another_architecture_is_refused(run):
    refusal = refused(
        make_train_run(run.workspace, "ResNet18_CFT", architecture="test_resnet", weights=f"run:{run.id}")
    )
    assert "do not fit" in refusal.message


def turned(workspace, name, splits):
    make_small_dataset(workspace, name)
    rewrite_manifest(workspace, lambda rows: rows.assign(split=rows["split"].replace(splits)), name)


@pytest.mark.parametrize(("split", "words"), [("test", "test"), ("val", "validation")])
def test_an_encoder_that_has_seen_validation_or_test_patients_is_refused(run, monkeypatch, split, words):
    make_swin_small(monkeypatch)
    name = f"train-is-{split}"
    turned(run.workspace, name, {"train": split, split: "train"})
    given = {"architecture": SWIN, "weights": f"run:{run.id}", "dataset": name}
    refusal = refused(make_train_run(run.workspace, "ResNet18_CFT", **given))
    assert f"have seen {PATIENTS['train']} of the {PATIENTS['train']} {words} patients" in refusal.message


def test_an_encoder_can_be_pretrained_further_and_known_held_out_patients_are_reported(run, monkeypatch):
    make_swin_small(monkeypatch)
    onward = finish_run(pretrain_run(run.workspace, weights=f"run:{run.id}", epochs=1))
    told = [event.text for event in onward.read_events() if isinstance(event, Note) and event.level == "warning"]
    assert any("has seen 1 of the 1 held-out patients" in text for text in told)
    turned(run.workspace, "turned_again", {"train": "test", "test": "train"})
    refusal = refused(pretrain_run(run.workspace, weights=f"run:{run.id}", dataset="turned_again"))
    assert f"have seen {PATIENTS['train']} of the {PATIENTS['train']} test patients" in refusal.message


def test_held_out_patients_have_a_breast_and_two_patients_with_a_breast_are_required(run, monkeypatch):
    make_swin_small(monkeypatch)
    by_patients = {}
    for patients in (2, 1):
        make_small_dataset(run.workspace, f"bare{patients}")
        path = run.workspace.cache_folder(f"bare{patients}") / "breast.npy"
        breast = np.load(path)
        breast[2 * patients : 2 * PATIENTS["train"]] = 0
        np.save(path, breast)
        by_patients[patients] = pretrain_run(
            run.workspace, dataset=f"bare{patients}", cache=f"bare{patients}", epochs=1
        )
    gains = pd.read_csv(finish_run(by_patients[2]).metrics_file)["val_gain"]
    assert (gains != 0).all()
    refusal = refused(by_patients[1])
    assert f"only 1 of the {PATIENTS['train']} training patients" in refusal.message


def test_a_block_as_large_as_the_image_is_refused_with_the_valid_sizes(run):
    for block in (64, 1000):
        refusal = refused(pretrain_run(run.workspace, block=block))
        assert f"{block} pixels" in refusal.message
        assert "64 × 64" in refusal.message
        assert "4 to 63" in refusal.hint


def test_beta_is_refused_for_an_encoder_without_attention(run):
    refusal = refused(pretrain_run(run.workspace, architecture="test_resnet"))
    assert isinstance(refusal, SettingsError)
    assert "ResNet has no window attention" in refusal.message
    assert "beta" in refusal.fields
    plain = finish_run(pretrain_run(run.workspace, architecture="test_resnet", beta=0, epochs=1, fill="zeros"))
    assert np.isfinite(plain.read_status().result["val_loss"])


@pytest.mark.long
def test_two_processes_pretrain_like_one_with_equally_large_steps(run):
    given = {"architecture": "swin_pico", "beta": 0.1, "epochs": 2, "batch_size": 5}
    both, alone = (
        finish_run(pretrain_run(run.workspace, **given, **how)) for how in ({"devices": 2}, {"accumulate": 2})
    )
    one, two = (pd.read_csv(which.metrics_file).iloc[1].to_dict() for which in (both, alone))
    assert one == pytest.approx(two, rel=1e-4)
    assert any("2 processes" in event.text for event in both.read_events() if isinstance(event, Note))
    one, two = (read_checkpoint(which.checkpoints_folder / "last.pt")["task"] for which in (both, alone))
    assert one.keys() == two.keys() != set()
    for shape, vectors in one.items():
        assert torch.allclose(vectors[..., 0].abs(), two[shape][..., 0].abs(), atol=1e-3)


def test_a_mean_teacher_is_refused_on_several_devices(run):
    taught = {"label_percent": 50, "unlabelled": "consistency", "balance": "none"}
    refusal = refused(make_train_run(run.workspace, "ResNet18_CFT", architecture="test_resnet", devices=2, **taught))
    assert refusal.fields == ("devices", "nodes")


def test_images_without_a_block_of_breast_are_counted_and_reported(run, monkeypatch):
    make_swin_small(monkeypatch)
    make_small_dataset(run.workspace, "bare")
    path = run.workspace.cache_folder("bare") / "breast.npy"
    breast = np.load(path)
    breast[:] = 1
    training = np.load(path)[:36]
    breast[: len(training) : 12] = 0
    np.save(path, breast)
    one = finish_run(pretrain_run(run.workspace, dataset="bare", cache="bare", epochs=1))
    told = [event.text for event in one.read_events() if isinstance(event, Note) and event.level == "warning"]
    assert any("3 of the 36 images have no block of 16 pixels" in text for text in told)
