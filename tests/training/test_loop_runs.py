"""Whole runs of train: stopped or killed runs end bit-identical, and only training data change the weights."""

import contextlib
import errno
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training import small_dataset
from tests.training.results import list_differences
from tests.training.small_dataset import (
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
    stop_after_steps,
)
from tfm.core.events import Metrics, Note, Progress
from tfm.core.runs import worker
from tfm.core.runs.execute_run import execute
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.phantom.prepared_dataset import draw_image
from tfm.training import checkpoint, loop
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.optimizer import get_learning_rate

STEPS_AN_EPOCH = 2 * small_dataset.PATIENTS["train"] // small_dataset.QUICK_SETTINGS["batch_size"]


def make_tiny_run(workspace, **given):
    """A run of a network of 0.4 million parameters, for tests that do not depend on its size."""
    return make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", **given)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("undisturbed") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_tiny_run(workspace))


@pytest.fixture
def small_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


def stop_with_checkpoint_at_each_step(run, steps, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "WRITE_SHARE", 0)
        stop_after_steps(run, steps)


@pytest.mark.parametrize("steps", [pytest.param(3, marks=pytest.mark.long), 6])
def test_run_stopped_within_an_epoch_ends_bit_identical(small_workspace, undisturbed, monkeypatch, steps):
    run = make_tiny_run(small_workspace, checkpoint_seconds=0)
    stop_with_checkpoint_at_each_step(run, steps, monkeypatch)
    kept = read_checkpoint(run.checkpoints_folder / "last.pt")["standing"]
    assert kept["step"] == steps
    assert kept["epoch_step"] == steps % STEPS_AN_EPOCH
    assert list_differences(finish_run(run), undisturbed) == []


def test_run_stopped_before_its_first_checkpoint_ends_bit_identical(small_workspace, undisturbed):
    run = make_tiny_run(small_workspace)
    stop_after_steps(run, 2)
    assert not run.checkpoints_folder.exists()
    assert list_differences(finish_run(run), undisturbed) == []


def list_warnings(run):
    return [event.text for event in run.read_events() if isinstance(event, Note) and event.level == "warning"]


@pytest.mark.parametrize(
    ("lost", "kept"),
    [
        (["last.pt"], "after epoch 1"),
        pytest.param(["last.pt", "previous.pt"], "starts over", marks=pytest.mark.long),
    ],
)
def test_run_with_missing_checkpoints_warns_and_ends_bit_identical(small_workspace, undisturbed, lost, kept):
    run = make_tiny_run(small_workspace)
    stop_after_steps(run, 2 * STEPS_AN_EPOCH + 1)
    for name in lost:
        (run.checkpoints_folder / name).unlink()
    assert list_differences(finish_run(run), undisturbed) == []
    assert [kept in text for text in list_warnings(run)] == [True]


@pytest.mark.parametrize("damaged", [pytest.param(["last.pt"], marks=pytest.mark.long), ["last.pt", "previous.pt"]])
def test_run_with_damaged_checkpoints_warns_and_ends_bit_identical(small_workspace, undisturbed, monkeypatch, damaged):
    run = make_tiny_run(small_workspace, checkpoint_seconds=0)
    stop_with_checkpoint_at_each_step(run, STEPS_AN_EPOCH + 1, monkeypatch)
    for name in damaged:
        path = run.checkpoints_folder / name
        path.write_bytes(path.read_bytes()[:-1000])
    assert list_differences(finish_run(run), undisturbed) == []
    warnings = [text for text in list_warnings(run) if text.startswith("checkpoint ")]
    assert [text.split()[1] for text in warnings] == damaged
    assert ("starts over" in warnings[0]) == (len(damaged) == 2)


@pytest.mark.long
def test_killed_run_ends_bit_identical(small_workspace, tmp_path):
    """A plan and a run that writes a checkpoint are killed in the tests of faults."""
    run = make_tiny_run(small_workspace, epochs=20)
    started = ThisMachine().submit(run)
    deadline = time.monotonic() + 60
    while not any(isinstance(event, Metrics) for event in run.read_events()):
        assert time.monotonic() < deadline, run.log_file.read_text()
        time.sleep(0.01)
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert run.read_status().state == "halted"
    again = ThisMachine().submit(run)
    assert again.process.wait(timeout=120) == 0, run.log_file.read_text()
    other_workspace = Workspace(tmp_path / "other")
    make_small_dataset(other_workspace)
    assert list_differences(run, finish_run(make_tiny_run(other_workspace, epochs=20))) == []


def test_run_halted_by_a_full_disk_reports_it_and_ends_bit_identical(small_workspace, undisturbed, monkeypatch):
    run = make_tiny_run(small_workspace)
    save, written = torch.save, []

    def fail_on_third(content, file):
        written.append(file)
        if len(written) == 3:  # after best and last of the first epoch
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, file)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", fail_on_third)
        assert worker.execute_run(run, stopping=run) == "halted"
    assert "No space left on device" in run.read_status().message
    assert "disk" in run.read_status().hint
    kept = read_checkpoint(run.checkpoints_folder / "last.pt")["standing"]
    assert kept["epoch"] == 1
    assert make_tiny_run(small_workspace).id == run.id
    assert list_differences(finish_run(run), undisturbed) == []


def test_an_epoch_is_told_before_the_next_if_a_kill_followed_its_checkpoint(small_workspace, undisturbed):
    run = make_tiny_run(small_workspace)
    with contextlib.closing(execute(run)) as events:
        next(event for event in events if isinstance(event, Metrics))
    log, table = (file.read_text().splitlines(keepends=True) for file in (run.events_file, run.metrics_file))
    run.events_file.write_text("".join(line for line in log if '"kind": "metrics"' not in line))
    run.metrics_file.write_text(table[0])
    assert list_differences(finish_run(run), undisturbed) == []
    told = [event for event in run.read_events() if isinstance(event, Metrics) or getattr(event, "name", "") == "epoch"]
    numbers = [int(event.values["epoch"]) if isinstance(event, Metrics) else f"{event.done} done" for event in told]
    assert numbers == ["0 done", 1, "1 done", 2, "2 done"]


def test_test_labels_do_not_change_training(small_workspace, undisturbed):
    def flip_test_labels(manifest):
        test = manifest["split"] == "test"
        turned = manifest["label"].map({"benign": "malignant", "malignant": "benign"})
        return manifest.assign(label=manifest["label"].mask(test, turned))

    rewrite_manifest(small_workspace, flip_test_labels)
    run = finish_run(make_tiny_run(small_workspace))
    assert list_differences(run, undisturbed) == ["test.csv"]
    ours, theirs = (pd.read_csv(one.predictions_file("test")) for one in (run, undisturbed))
    assert (ours["prob"] == theirs["prob"]).all()
    assert (ours["label"] == 1 - theirs["label"]).all()
    assert run.read_status().result["threshold"] == undisturbed.read_status().result["threshold"]


def test_training_labels_change_training(small_workspace, undisturbed):
    """Otherwise the equality above would prove nothing."""

    def flip_one_label(manifest):
        first = manifest["image_id"] == manifest["image_id"][manifest["split"] == "train"].iloc[0]
        return manifest.assign(label=manifest["label"].mask(first, "malignant"))

    rewrite_manifest(small_workspace, flip_one_label)
    run = finish_run(make_tiny_run(small_workspace))
    assert any(place.startswith("best.pt/network") for place in list_differences(run, undisturbed))


@pytest.mark.parametrize(
    ("step", "where"),
    [
        (STEPS_AN_EPOCH + 1, "at step 6, in epoch 2"),
        (2 * STEPS_AN_EPOCH, "in validation, in epoch 2"),
    ],
)
def test_divergence_fails_the_run_and_keeps_the_last_finite_checkpoint(small_workspace, monkeypatch, step, where):

    def get_rate(settings, done, steps):
        return 1e30 if done + 1 >= step else get_learning_rate(settings, done, steps)

    monkeypatch.setattr(loop, "get_learning_rate", get_rate)
    run = make_tiny_run(small_workspace, epochs=3)
    assert worker.execute_run(run, stopping=run) == "failed"
    assert where in run.read_status().message
    assert "setting: learning_rate" in run.read_status().hint
    kept, problems = Checkpoints(run.checkpoints_folder, seconds=0, key=run.read_status().key).load_newest()
    assert problems == []
    assert kept["standing"]["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in kept["network"].values())
    run.best_checkpoint.write_bytes(b"")
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "the best checkpoint cannot be read" in run.read_status().message, "before it trains any further"


def test_patience_ends_a_run_and_the_first_of_equal_epochs_is_best(small_workspace):
    run = finish_run(make_tiny_run(small_workspace, patience=2, epochs=12, augment=False))
    metrics = pd.read_csv(run.metrics_file)
    best = read_checkpoint(run.checkpoints_folder / "best.pt")["standing"]["epoch"]
    assert best == 1 + int(np.argmax(metrics["val_auc"]))
    assert len(metrics) == best + 2 < 12


def test_discs_and_stars_are_learned(small_workspace):
    run = finish_run(make_tiny_run(small_workspace, epochs=8, augment=False))
    metrics = pd.read_csv(run.metrics_file)
    assert list(metrics.columns) == [
        *("epoch", "learning_rate", "train_loss", "train_accuracy", "train_auc", "val_loss", "val_accuracy", "val_auc")
    ]
    assert metrics["train_loss"].iloc[-1] < 0.5 * metrics["train_loss"].iloc[0]
    assert run.read_status().result["val_auc"] > 0.9


def test_events_report_epochs_steps_and_metrics(undisturbed):
    events = undisturbed.read_events()
    assert {event.name for event in events if isinstance(event, Progress)} >= {"epoch", "step", "validation"}
    rows = [event.values for event in events if isinstance(event, Metrics)]
    assert [row["epoch"] for row in rows] == [1, 2]


def test_small_dataset_differs_by_class():
    generator = np.random.default_rng(1)
    assert draw_image(True, generator, small_dataset.SIDE)[2].max() == encode_mask_class("mass", "MALIGNANT")
    assert draw_image(False, generator, small_dataset.SIDE)[2].max() == encode_mask_class("mass", "BENIGN")
