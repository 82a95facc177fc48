"""An external test: every image of another dataset is predicted by weights, steps and threshold of the run."""

import shutil

import numpy as np
import pytest

from tests.pipelines.predicting import (
    CPU,
    make_image_dataset,
    predict_files,
    train_on_files,
    write_image_dataset,
)
from tests.pipelines.test_predict import get_probs
from tests.training.small_dataset import finish_run, rewrite_manifest
from tfm.analysis.external_test import Drop
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import open_trained_model
from tfm.core.errors import SettingsError
from tfm.core.events import Note, Table
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.metrics.differences import subtract_independent
from tfm.metrics.intervals import Interval, compute_auc_interval, estimate_auc
from tfm.pipelines.offer_datasets import offer_datasets

FEW = {"train": 3, "val": 2, "test": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("external") / "workspace")
    make_image_dataset(workspace)
    write_image_dataset(workspace, "clinic", first=50, patients=FEW)
    return train_on_files(workspace, learning_rate=3e-3)


@pytest.fixture(scope="module")
def compared(trained):
    return finish_run(start("compare", trained))


@pytest.fixture
def copied(trained, tmp_path):
    """The run in a workspace of its own, whose other dataset may be changed."""
    workspace = Workspace(shutil.copytree(trained.workspace.root, tmp_path / "copy"))
    return type(trained)(workspace.runs_folder / trained.id, workspace)


def start(command, *runs, dataset="clinic", **more):
    given = {"runs": [run.id for run in runs], "dataset": dataset} | CPU | more
    return find_or_create_job(runs[0].workspace, command, given)


def fail(run):
    assert worker.execute_run(run, stopping=run) == "failed"
    return run.read_status().message, run.read_status().hint


def list_external_files(run):
    return sorted((run.workspace.root / "external" / run.id).glob("*.csv"))


def read_external(run):
    (path,) = list_external_files(run)
    return read_predictions(path)


def get_model(comparison):
    (model,) = comparison.read_status().result["models"]
    return model


def test_every_image_gets_the_probability_that_predict_gives_its_file(trained, compared):
    table = read_external(trained)
    assert len(table) == 2 * sum(FEW.values())
    folder = trained.workspace.dataset_folder("clinic")
    predicted = predict_files(trained, *(folder / split for split in FEW), pictures=0)
    assert get_probs(predicted) == pytest.approx(dict(zip(table["image_id"], table["prob"], strict=True)), abs=1e-6)


def test_the_threshold_stays_that_of_the_run(trained, compared):
    table, threshold = read_external(trained), trained.read_status().result["threshold"]
    called = table["prob"] >= threshold
    assert get_model(compared)["sensitivity"] == pytest.approx(called[table["label"] == 1].mean())
    assert get_model(compared)["specificity"] == pytest.approx((~called[table["label"] == 0]).mean())


def test_the_drop_is_that_of_two_intervals_of_different_patients(trained, compared):
    own, external = (
        compute_auc_interval(estimate_auc(*(table[name].to_numpy() for name in ("label", "prob", "patient_id"))))
        for table in (open_trained_model(trained).predictions, read_external(trained))
    )
    model = get_model(compared)
    assert (model["own_auc"], model["external_auc"]) == (own.value, external.value)
    assert model["auc_drop"] == own.value - external.value
    below = np.sqrt((own.value - own.low) ** 2 + (external.high - external.value) ** 2)
    above = np.sqrt((own.high - own.value) ** 2 + (external.value - external.low) ** 2)
    assert model["auc_drop_low"] == pytest.approx(model["auc_drop"] - below)
    assert model["auc_drop_high"] == pytest.approx(model["auc_drop"] + above)
    assert subtract_independent(Interval(0.9, 0.8, 0.95), Interval(0.9, 0.8, 0.95)).value == 0


def test_a_drop_without_an_interval_is_not_called_more_than_chance():
    drop = Drop(Interval(0.9, np.nan, np.nan), Interval(0.6, 0.5, 0.7))
    assert drop.describe() == "There are too few patients for an interval."


def test_the_protocol_names_the_dataset_and_what_differs_is_told_first(compared):
    notes, tables = ([one for one in compared.read_events() if isinstance(one, kind)] for kind in (Note, Table))
    differs = "clinic differs from files, which the models were trained on:\n"
    assert notes[0].text.startswith(differs + "  malignant: 43% of 14 images; in files: 50% of 32 images")
    ranking = tables[0]
    assert "dataset clinic (every image is tested; drawn, same collection as the training images" in ranking.caption
    assert "external test, per image: 14 images (6 malignant) of 7 patients" in ranking.caption


def test_a_form_offers_the_datasets_that_no_chosen_model_was_trained_on(trained):
    (found,) = offer_datasets({"runs": [trained.id]}, trained.workspace)
    assert found.choices == {"dataset": [None, "clinic"]}


def test_a_patient_that_a_model_has_learned_from_is_refused_by_name(copied):
    rewrite_manifest(copied.workspace, rename_first_patient, "clinic")
    message, hint = fail(start("compare", copied))
    assert "has learned from 1 of the 7 patients of clinic" in message
    assert "P_00001" in message
    assert "leave them out" in hint


def rename_first_patient(manifest):
    is_first = manifest["patient_id"] == manifest["patient_id"].iloc[0]
    return manifest.assign(patient_id=manifest["patient_id"].mask(is_first, "P_00001"))


def test_a_training_image_under_another_name_is_refused(copied):
    folder = copied.workspace.dataset_folder("clinic")
    copy, *_ = sorted(folder.glob("test/malignant/*.png"))
    known, *_ = sorted(copied.workspace.dataset_folder("files").glob("train/malignant/*.png"))
    shutil.copyfile(known, copy)
    message, _ = fail(start("compare", copied))
    assert f"{copy.stem} (as {known.stem})" in message


@pytest.mark.long
def test_an_image_of_the_own_test_is_no_training_image(copied):
    folder = copied.workspace.dataset_folder("clinic")
    known, *_ = sorted(copied.workspace.dataset_folder("files").glob("test/malignant/*.png"))
    shutil.copyfile(known, sorted(folder.glob("test/malignant/*.png"))[0])
    finish_run(start("compare", copied))


def test_a_drop_says_whether_chance_explains_it():
    lost = Drop(Interval(0.98, 0.97, 0.99), Interval(0.57, 0.44, 0.70)).describe()
    assert "more than chance explains" in lost
    assert "guessing" in lost
    kept = Drop(Interval(0.8, 0.6, 0.9), Interval(0.75, 0.6, 0.85)).describe()
    assert "may be chance" in kept
    assert "guessing" not in kept


def test_images_of_one_class_have_no_drop_of_the_auc(copied):
    rewrite_manifest(copied.workspace, lambda manifest: manifest[manifest["label"] == "benign"], "clinic")
    message, hint = fail(start("compare", copied))
    assert "all 8 images of clinic are benign" in message
    assert "evaluate" in hint


def test_a_dataset_without_images_is_refused(copied):
    rewrite_manifest(copied.workspace, lambda manifest: manifest[:0], "clinic")
    assert "the dataset clinic has no images" in fail(start("compare", copied))[0]


def test_the_dataset_of_the_training_is_refused_under_any_name(copied):
    assert f"files is the dataset that {copied.id} was trained on" in fail(start("compare", copied, dataset="files"))[0]
    folder = copied.workspace.dataset_folder("files")
    shutil.copytree(folder, folder.with_name("twin"))
    assert "its own test split already is" in fail(start("compare", copied, dataset="twin"))[0]


def test_a_dataset_that_was_never_organized_is_refused_before_a_run_is_made(trained):
    with pytest.raises(SettingsError, match="no dataset is called"):
        start("compare", trained, dataset="nowhere")
