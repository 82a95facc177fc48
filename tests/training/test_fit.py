"""Training: a stopped or killed run ends bit for bit as the undisturbed one, and only training data steer it."""

import errno
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training import small_dataset
from tests.training.small_dataset import (
    draw_image,
    finish_run,
    make_small_dataset,
    make_train_run,
    read_results,
    rewrite_manifest,
    stop_after_steps,
)
from tfm.core.events import Metrics, Note, Progress
from tfm.core.runs import worker
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.training import checkpoint, loop
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.optimizer import get_learning_rate

STEPS_AN_EPOCH = 2 * small_dataset.PATIENTS["train"] // small_dataset.QUICK_SETTINGS["batch_size"]


def flat(content, path="") -> dict[str, object]:
    """Every tensor and number of a checkpoint by its place in it."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        return {place: leaf for key, value in items for place, leaf in flat(value, f"{path}/{key}").items()}
    return {path: content.numpy().tobytes() if isinstance(content, torch.Tensor) else content}


def differences(run, other) -> list[str]:
    """Where two finished runs differ: in files, and in every tensor and number of the checkpoints."""
    found = [name for name, raw in read_results(run).items() if raw != read_results(other)[name]]
    for name in ("last.pt", "best.pt"):
        one, two = (flat(read_checkpoint(which.checkpoints_folder / name)) for which in (run, other))
        places = (one.keys() | two.keys()) - {"/run"}  # whose it is says what it read, and not what it learned
        found += [f"{name}{place}" for place in places if one.get(place) != two.get(place)]
    return found


def tiny_run(workspace, **given):
    """The same training of a network of 0.4 million parameters: for proofs that do not hang on its size."""
    return make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", **given)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The undisturbed run of MammoCNN, and of the tiny network."""
    workspace = Workspace(tmp_path_factory.mktemp("calm") / "workspace")
    make_small_dataset(workspace)
    return {"MammoCNN": finish_run(make_train_run(workspace)), "tiny": finish_run(tiny_run(workspace))}


@pytest.fixture
def pocket_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


def stop_with_checkpoint_at_each_step(run, steps, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "WRITE_SHARE", 0)
        stop_after_steps(run, steps)


@pytest.mark.parametrize("steps", [3, 6])
def test_a_stopped_run_goes_on_within_an_epoch_and_ends_bit_identical(pocket_workspace, calm, monkeypatch, steps):
    run = make_train_run(pocket_workspace, checkpoint_seconds=0)
    stop_with_checkpoint_at_each_step(run, steps, monkeypatch)
    kept = read_checkpoint(run.checkpoints_folder / "last.pt")["standing"]
    assert kept["step"] == steps
    assert kept["epoch_step"] == steps % STEPS_AN_EPOCH
    assert differences(finish_run(run), calm["MammoCNN"]) == []


def test_a_run_stopped_before_its_first_checkpoint_starts_over_and_ends_bit_identical(pocket_workspace, calm):
    run = make_train_run(pocket_workspace)
    stop_after_steps(run, 2)
    assert not run.checkpoints_folder.exists()
    assert differences(finish_run(run), calm["MammoCNN"]) == []


def without_momentum(content):
    for state in content["optimizer"]["state"].values():
        state["exp_avg"].zero_()


def without_step(content):
    content["standing"]["step"] = 0


def without_batch_statistics(content):
    name = next(name for name in content["network"] if name.endswith("running_var"))
    content["network"][name].fill_(1)


def without_loss_so_far(content):
    content["standing"]["loss_sum"] = 0.0


@pytest.mark.parametrize("lose", [without_momentum, without_step, without_batch_statistics, without_loss_so_far])
def test_the_proof_notices_a_lost_piece_of_state(pocket_workspace, calm, monkeypatch, lose):
    run = tiny_run(pocket_workspace, checkpoint_seconds=0)
    stop_with_checkpoint_at_each_step(run, STEPS_AN_EPOCH + 2, monkeypatch)
    content = read_checkpoint(run.checkpoints_folder / "last.pt")
    lose(content)
    Checkpoints(run.checkpoints_folder, seconds=0, key=run.read_status().key).save(content)
    assert differences(finish_run(run), calm["tiny"]) != []


def warnings_of(run):
    return [event.text for event in run.read_events() if isinstance(event, Note) and event.level == "warning"]


@pytest.mark.parametrize(
    ("lost", "says"), [(["last.pt"], "behind the 1 that stand"), (["last.pt", "previous.pt"], "training starts over")]
)
def test_checkpoints_that_are_gone_are_told_and_the_run_ends_bit_identical(pocket_workspace, calm, lost, says):
    run = tiny_run(pocket_workspace)
    stop_after_steps(run, 2 * STEPS_AN_EPOCH + 1)
    for name in lost:
        (run.checkpoints_folder / name).unlink()
    assert differences(finish_run(run), calm["tiny"]) == []
    assert [says in text for text in warnings_of(run)] == [True]


@pytest.mark.parametrize("damaged", [["last.pt"], ["last.pt", "previous.pt"]])
def test_a_run_with_damaged_checkpoints_says_so_and_ends_bit_identical(pocket_workspace, calm, monkeypatch, damaged):
    run = tiny_run(pocket_workspace, checkpoint_seconds=0)
    stop_with_checkpoint_at_each_step(run, STEPS_AN_EPOCH + 1, monkeypatch)
    for name in damaged:
        path = run.checkpoints_folder / name
        path.write_bytes(path.read_bytes()[:-1000])
    assert differences(finish_run(run), calm["tiny"]) == []
    warnings = [text for text in warnings_of(run) if text.startswith("checkpoint ")]
    assert [text.split()[1] for text in warnings] == damaged
    assert ("starts over" in warnings[0]) == (len(damaged) == 2)


def test_a_killed_run_ends_bit_identical(pocket_workspace, calm):
    run = make_train_run(pocket_workspace)
    started = worker.start_worker(run)
    deadline = time.monotonic() + 60
    while not any(isinstance(event, Metrics) for event in run.read_events()):
        assert time.monotonic() < deadline, run.log_file.read_text()
        time.sleep(0.01)
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert run.read_status().state == "halted"
    again = worker.start_worker(run)
    assert again.process.wait(timeout=120) == 0, run.log_file.read_text()
    assert differences(run, calm["MammoCNN"]) == []


def test_a_disk_that_is_full_at_a_checkpoint_is_said_and_the_run_goes_on_once_it_is_not(
    pocket_workspace, calm, monkeypatch
):
    run = tiny_run(pocket_workspace)
    save, written = torch.save, []

    def full(content, file):
        written.append(file)
        if len(written) == 3:  # behind best and last of the first epoch
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, file)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        assert worker.execute_run(run, stopping=run) == "halted"
    assert "No space left on device" in run.read_status().message
    assert "it goes on where it stopped" in run.read_status().hint
    kept = read_checkpoint(run.checkpoints_folder / "last.pt")["standing"]
    assert kept["epoch"] == 1
    assert tiny_run(pocket_workspace).id == run.id
    assert differences(finish_run(run), calm["tiny"]) == []


def test_the_test_labels_change_not_one_trained_bit(pocket_workspace, calm):
    def turned_round(manifest):
        test = manifest["split"] == "test"
        turned = manifest["label"].map({"benign": "malignant", "malignant": "benign"})
        return manifest.assign(label=manifest["label"].mask(test, turned))

    rewrite_manifest(pocket_workspace, turned_round)
    run = finish_run(tiny_run(pocket_workspace))
    assert differences(run, calm["tiny"]) == ["test.csv"]
    ours, theirs = (pd.read_csv(one.predictions_file("test")) for one in (run, calm["tiny"]))
    assert (ours["prob"] == theirs["prob"]).all()
    assert (ours["label"] == 1 - theirs["label"]).all()
    assert run.read_status().result["threshold"] == calm["tiny"].read_status().result["threshold"]


def test_the_training_labels_do_change_it(pocket_workspace, calm):
    """The equality above would not hold if labels were not learned from."""

    def one_turned(manifest):
        first = manifest["image_id"] == manifest["image_id"][manifest["split"] == "train"].iloc[0]
        return manifest.assign(label=manifest["label"].mask(first, "malignant"))

    rewrite_manifest(pocket_workspace, one_turned)
    run = finish_run(tiny_run(pocket_workspace))
    assert any(place.startswith("best.pt/network") for place in differences(run, calm["tiny"]))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (STEPS_AN_EPOCH + 1, "the loss or its gradient is not a finite number at step 6, in epoch 2"),
        (2 * STEPS_AN_EPOCH, "what the network says is not a finite number in validation, in epoch 2"),
    ],
)
def test_what_is_no_number_stops_the_run_that_says_where_and_keeps_its_last_good_state(
    pocket_workspace, monkeypatch, step, said
):
    """By a learning rate that is far too high from a step of the second epoch on."""

    def too_high(optim, done, steps):
        return 1e30 if done + 1 >= step else get_learning_rate(optim, done, steps)

    monkeypatch.setattr(loop, "learning_rate", too_high)
    run = tiny_run(pocket_workspace, epochs=3)
    assert worker.execute_run(run, stopping=run) == "failed"
    assert said in run.read_status().message
    assert "setting: learning_rate" in run.read_status().hint
    kept, trouble = Checkpoints(run.checkpoints_folder, seconds=0, key=run.read_status().key).load_newest()
    assert trouble == []
    assert kept["standing"]["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in kept["network"].values())


def test_patience_ends_a_run_that_gets_no_better_and_the_first_of_equals_is_best(pocket_workspace):
    run = finish_run(make_train_run(pocket_workspace, patience=2, epochs=12, augment=False, dropout=0.0))
    metrics = pd.read_csv(run.metrics_file)
    best = read_checkpoint(run.checkpoints_folder / "best.pt")["standing"]["epoch"]
    assert best == 1 + int(np.argmax(metrics["val_auc"]))
    assert len(metrics) == best + 2 < 12


def test_discs_and_stars_are_learned(pocket_workspace):
    run = finish_run(make_train_run(pocket_workspace, "MammoCNN", epochs=5, dropout=0.0, augment=False))
    metrics = pd.read_csv(run.metrics_file)
    assert list(metrics.columns) == [
        *("epoch", "learning_rate", "train_loss", "train_accuracy", "train_auc", "val_loss", "val_accuracy", "val_auc")
    ]
    assert metrics["train_loss"].iloc[-1] < 0.5 * metrics["train_loss"].iloc[0]
    assert run.read_status().result["val_auc"] > 0.9


def test_a_watcher_sees_epochs_and_steps(calm):
    events = calm["MammoCNN"].read_events()
    assert {event.name for event in events if isinstance(event, Progress)} >= {"epoch", "step", "validation"}
    rows = [event.values for event in events if isinstance(event, Metrics)]
    assert [row["epoch"] for row in rows] == [1, 2]


def test_the_films_of_the_pocket_differ_by_class():
    generator = np.random.default_rng(1)
    assert draw_image(True, generator)[2].max() == encode_mask_class("mass", "MALIGNANT")
    assert draw_image(False, generator)[2].max() == encode_mask_class("mass", "BENIGN")
