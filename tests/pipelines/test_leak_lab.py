"""The leak lab: one model, split honestly and in wrong ways, and runs that nothing else accepts."""

import pandas as pd
import pytest

from tests.training.small_dataset import PATIENTS, finish_run, make_small_dataset, make_train_run
from tfm.analysis.trained_run import open_trained_model
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Picture, Table
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.workspace import Workspace
from tfm.data.settings import AUGMENT_THEN_SPLIT, BY_IMAGE, BY_PATIENT, CHOSEN_ON_TEST
from tfm.pipelines.train import open_training_data
from tfm.training.inputs.leaky_splits import split_for_leak_lab

WAYS = (BY_PATIENT, BY_IMAGE, AUGMENT_THEN_SPLIT, CHOSEN_ON_TEST)
GIVEN = {"dataset": "pocket", "cache": "pocket", "model": "TINY", "threads": 1, "device": "cpu"}
PRESET = """
title: Tiny
about: A tiny network.
stage: train
settings:
  model: {architecture: test_resnet, weights: none}
  batches: {batch_size: 9}
  optim: {epochs: 1}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("leaks") / "workspace")
    make_small_dataset(workspace)
    (workspace.root / "models").mkdir()
    (workspace.root / "models" / "TINY.yaml").write_text(PRESET, encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def data(workspace):
    return open_training_data(load_settings(make_train_run(workspace, "TINY")), workspace)


@pytest.fixture(scope="module")
def leaky(workspace):
    return finish_run(find_or_create_job(workspace, "leak-training", GIVEN | {"way": BY_IMAGE}))


def share_of_claimed_patients_in_training(split):
    return len(set(split.claimed.patients) & set(split.train.patients)) / len(split.claimed.patients)


def test_the_honest_split_shares_no_patient(data):
    split = split_for_leak_lab(data, BY_PATIENT, 7)
    parts = [set(one.patients) for one in (split.train, split.val, split.claimed, split.outside)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == sum(PATIENTS.values())


@pytest.mark.parametrize("way", [BY_IMAGE, AUGMENT_THEN_SPLIT])
def test_a_wrong_split_trains_on_patients_of_its_test_set(data, way):
    assert share_of_claimed_patients_in_training(split_for_leak_lab(data, way, 7)) > 0.3


def test_copies_of_one_image_are_in_training_and_test(data):
    split = split_for_leak_lab(data, AUGMENT_THEN_SPLIT, 7)
    assert set(split.claimed.positions) & set(split.train.positions)


def test_the_test_images_choose_epoch_and_threshold_where_that_is_the_mistake(data):
    split, honest = (split_for_leak_lab(data, way, 7) for way in (CHOSEN_ON_TEST, BY_PATIENT))
    pd.testing.assert_frame_equal(split.val.table, honest.claimed.table)
    pd.testing.assert_frame_equal(split.train.table, honest.train.table)


@pytest.mark.parametrize("way", WAYS)
def test_no_way_sees_a_test_patient_of_the_dataset(data, way):
    split = split_for_leak_lab(data, way, 7)
    seen = {*split.train.patients, *split.val.patients, *split.claimed.patients}
    assert not seen & set(data.test.patients)
    assert set(split.outside.patients) == set(data.test.patients)


@pytest.mark.parametrize("way", [BY_IMAGE, CHOSEN_ON_TEST])
def test_all_ways_train_on_as_many_images(data, way):
    split, honest = (split_for_leak_lab(data, one, 7) for one in (way, BY_PATIENT))
    assert [len(split.train), len(split.claimed)] == [len(honest.train), len(honest.claimed)]


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("compare", lambda run: {"runs": [run]}),
        ("evaluate", lambda run: {"runs": [run]}),
        ("average", lambda run: {"runs": [run, "train-TINY"]}),
        ("explain", lambda run: {"run": run}),
        ("export", lambda run: {"run": run}),
        ("forest", lambda run: {"backbone": run}),
        ("predict", lambda run: {"run": run, "paths": ["tests"]}),
        ("report", lambda run: {"runs": [run]}),
    ],
)
def test_nothing_else_accepts_a_run_of_the_leak_lab(leaky, command, given):
    with pytest.raises(SettingsError, match="is a run of leak-training"):
        find_or_create_job(leaky.workspace, command, given(leaky.id))


def test_a_run_of_the_leak_lab_is_marked_and_leaves_no_weights(leaky):
    assert leaky.read_environment()["leak_lab"] == BY_IMAGE
    assert not leaky.checkpoints_folder.exists()
    with pytest.raises(DataError, match=f"{leaky.id} is a run of the leak lab"):
        open_trained_model(leaky)


def test_no_training_starts_from_a_run_of_the_leak_lab(leaky):
    with pytest.raises(SettingsError, match="no best checkpoint"):  # its weights are deleted
        make_train_run(leaky.workspace, "MammoCNN", weights=f"run:{leaky.id}")


def test_a_model_that_augments_nothing_is_refused(workspace):
    with pytest.raises(SettingsError, match="augments nothing"):
        find_or_create_job(workspace, "leak-lab", GIVEN | {"model": "EfficientNetLite0_OPW"})


@pytest.mark.long
def test_the_plan_shows_what_each_split_would_claim(workspace):
    plan = find_or_create_job(workspace, "leak-lab", GIVEN)
    runs = {}
    for step in plan.read_steps():
        settings = {
            name: [runs[one[1:].partition(".")[0]].id for one in value] if name == "runs" else value
            for name, value in step.settings.items()
        }
        runs[step.name] = finish_run(find_or_create_job(workspace, step.stage, settings))
    comparison = runs["comparison"]
    (table,) = [event for event in comparison.read_events() if isinstance(event, Table)]
    assert [row[0] for row in table.rows] == [
        "by patient (honest)",
        "threshold chosen on test",
        "epoch and threshold chosen on test",
        "by image",
        "augmented, then split by image",
    ]
    assert "Only the first row is a result" in table.caption
    assert any(isinstance(event, Picture) for event in comparison.read_events())
