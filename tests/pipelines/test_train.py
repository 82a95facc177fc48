"""What a train run writes and remembers."""

import pandas as pd
import pytest

from tests.training.small_dataset import PATIENTS, finish_run, make_small_dataset, make_train_run
from tfm.analysis.predictions import read_predictions
from tfm.core.errors import SettingsError
from tfm.core.events import Note
from tfm.core.registry import find_stage
from tfm.core.settings.resolve import resolve
from tfm.metrics.classification import compute_auc, compute_confusion, find_youden_threshold

TOLD = {"dataset": "d", "cache": "c"}
TINY = {"architecture": "test_resnet", "epochs": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from tfm.core.runs.workspace import Workspace

    workspace = Workspace(tmp_path_factory.mktemp("train") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY))


def predictions(run, split):
    return read_predictions(run.predictions_file(split))


def test_predictions_have_the_documented_columns(run):
    for split in ("val", "test"):
        table = predictions(run, split)
        assert list(table.columns) == ["image_id", "patient_id", "side", "view", "label", "prob"]
        assert len(table) == 2 * PATIENTS[split]
        assert set(table["label"]) == {0, 1}
        assert table["prob"].between(0, 1).all()
        assert table["patient_id"].str.startswith(f"P_{split}").all()


def test_threshold_is_chosen_on_validation_only(run):
    val, test = predictions(run, "val"), predictions(run, "test")
    chosen = run.read_status().result["threshold"]
    assert chosen == find_youden_threshold(val["label"].to_numpy(), val["prob"].to_numpy())
    assert chosen not in set(test["prob"])


def test_a_given_sensitivity_is_reached_on_validation_and_the_rule_is_reported(run):
    other = finish_run(make_train_run(run.workspace, "ResNet18_CFT", **TINY, threshold="sensitivity:0.9"))
    val, result = predictions(other, "val"), other.read_status().result
    called = compute_confusion(val["label"].to_numpy(), val["prob"].to_numpy(), result["threshold"])
    assert called.sensitivity >= 0.9
    assert result["threshold"] in set(val["prob"])
    assert result["threshold_rule"] == "sensitivity:0.9"
    assert run.read_status().result["threshold_rule"] == "youden"
    assert predictions(other, "test").equals(predictions(run, "test"))


def test_the_result_comes_from_the_best_checkpoint(run):
    val = predictions(run, "val")
    assert run.read_status().result["val_auc"] == pytest.approx(
        pd.read_csv(run.metrics_file)["val_auc"].max(), rel=1e-12
    )
    assert run.read_status().result["val_auc"] == compute_auc(val["label"].to_numpy(), val["prob"].to_numpy())


def test_a_run_remembers_exactly_the_patients_it_has_seen(run):
    seen = run.read_environment()["patients_seen"]
    assert len(seen) == PATIENTS["train"] + PATIENTS["val"]
    assert not any(patient.startswith("P_test") for patient in seen)


def test_a_run_remembers_its_data_and_environment(run):
    environment = run.read_environment()
    assert {"dataset", "dataset_hash", "split_hash", "protocol", "synthetic", "normalisation"} <= environment.keys()
    assert environment["threads"] == 1
    assert environment["device"] == "cpu"
    assert environment["torch"]


def test_outputs_are_intact_until_they_are_changed(run):
    assert run.has_intact_outputs()
    names = {output["path"].rpartition("/")[2] for output in run.read_status().outputs}
    assert names == {"val.csv", "test.csv", "best.pt", "metrics.csv"}


def test_device_and_threads_do_not_affect_the_run_key_and_epochs_do(run):
    assert make_train_run(run.workspace, "ResNet18_CFT", **TINY, checkpoint_seconds=5, device="auto").id == run.id
    assert make_train_run(run.workspace, "ResNet18_CFT", **(TINY | {"epochs": 2})).id != run.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0},
        {"optimizer": "magic"},
        {"threshold": "sensitivity:90"},
        {"threshold": "sensitivity:"},
        {"threshold": "0.5"},
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(SettingsError) as refusal:
        resolve(find_stage("train").settings, {}, TOLD | wrong)
    assert refusal.value.fields == tuple(wrong)


@pytest.mark.parametrize("rule", ["sensitivity:.9", "sensitivity:0.90", "sensitivity: 0.9", "sensitivity:9e-1"])
def test_spellings_of_one_threshold_rule_are_equal(rule):
    assert resolve(find_stage("train").settings, {}, TOLD | {"threshold": rule}).threshold == "sensitivity:0.9"


def test_the_model_is_described_before_the_first_step(run):
    told = " ".join(event.text for event in run.read_events() if isinstance(event, Note))
    assert f"{run.read_status().result['parameters']:,} parameters" in told
    assert "GiB with batch size" in told
    assert "(NCHW)" in told
