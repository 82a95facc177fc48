"""Evaluation reads the predictions of a train run, states their protocol, and writes to its own run."""

import pytest

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.analysis.predictions import read_predictions
from tfm.analysis.threshold import choose_threshold
from tfm.analysis.units import group_by_unit
from tfm.core import files
from tfm.core.errors import SettingsError
from tfm.core.events import Picture, Table
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace

TINY = {"architecture": "test_resnet", "epochs": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("evaluate") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY))


def evaluated(trained, unit="image"):
    return finish_run(find_or_create_job(trained.workspace, "evaluate", {"run": trained.id, "unit": unit}))


def test_every_table_states_its_protocol_and_that_images_are_synthetic(trained):
    tables = [event for event in evaluated(trained).read_events() if isinstance(event, Table)]
    assert len(tables) == 2
    for table in tables:
        assert "20 images (10 malignant) of 10 patients" in table.caption
        assert "say nothing about performance on real mammograms" in table.caption


def test_the_confusion_matrix_counts_every_test_image(trained):
    result = evaluated(trained).read_status().result
    assert result["tp"] + result["fn"] == 10
    assert result["fp"] + result["tn"] == 10
    assert result["auc_low"] <= result["auc"] <= result["auc_high"]
    assert (result["n_images"], result["n_patients"]) == (20, 10)


@pytest.mark.parametrize(("unit", "count"), [("breast", "10 breasts"), ("patient", "10 patients")])
def test_breasts_and_patients_are_counted_at_a_threshold_of_their_own(trained, unit, count):
    run = evaluated(trained, unit)
    result = run.read_status().result
    assert result["unit"] == unit
    tables = [event for event in run.read_events() if isinstance(event, Table)]
    assert all(f"test, per {unit}: {count}" in table.caption for table in tables)
    validation = group_by_unit(read_predictions(trained.predictions_file("val")), unit)
    labels, probs = (validation[name].to_numpy() for name in ("label", "prob"))
    assert result["threshold"] == choose_threshold(result["threshold_rule"], labels, probs)
    assert result["tp"] + result["fn"] + result["fp"] + result["tn"] == result["n_units"] == int(count.split()[0])
    assert (result["n_images"], result["n_patients"]) == (20, 10)


def test_evaluation_writes_to_its_own_folder_and_leaves_the_train_run_unchanged(trained):
    before = sorted(path.name for path in trained.folder.rglob("*"))
    run = evaluated(trained)
    (picture,) = [event for event in run.read_events() if isinstance(event, Picture)]
    assert run.folder / "figures" / "roc.png" == run.workspace.root / picture.path
    assert (run.folder / "figures" / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert files.read_json(run.folder / "metrics.json") == run.read_status().result
    assert sorted(path.name for path in trained.folder.rglob("*")) == before


def test_an_incomplete_run_is_refused(trained):
    evaluation = evaluated(trained)
    with pytest.raises(SettingsError, match="is a run of evaluate"):
        find_or_create_job(trained.workspace, "evaluate", {"run": evaluation.id})
    waiting = make_train_run(trained.workspace, "ResNet18_CFT", **TINY, seed=99)
    with pytest.raises(SettingsError, match="waiting"):
        find_or_create_job(trained.workspace, "evaluate", {"run": waiting.id})


def test_changed_predictions_are_refused(workspace):
    make_small_dataset(workspace)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY))
    path = run.predictions_file("test")
    path.write_text(path.read_text().replace(",0,", ",1,"))
    evaluation = find_or_create_job(workspace, "evaluate", {"run": run.id})
    assert worker.execute_run(evaluation, stopping=evaluation) == "failed"
    assert "missing or changed" in evaluation.read_status().message
