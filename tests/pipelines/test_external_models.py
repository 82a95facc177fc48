"""External tests of every kind of model, in evaluate, and after a kill (`long`)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.pipelines.forests import average_run, forest_run
from tests.pipelines.predicting import CPU, make_image_dataset, predict_files, train_on_files, write_image_dataset
from tests.pipelines.test_external_test import FEW, fail, list_external_files, read_external, start
from tests.pipelines.test_predict import get_probs
from tests.training.small_dataset import finish_run, rewrite_manifest
from tfm.analysis.external_test import list_external_tests
from tfm.analysis.predictions import read_predictions
from tfm.core import files
from tfm.core.events import Note, Picture
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace

pytestmark = pytest.mark.long

PROJECT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from tfm.core.runs import worker
from tfm.data.cache import build
from tfm.pipelines import external_test

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "the cache":
    build.CacheWriter.finish = kill
else:
    external_test.store_predictions = kill
run = worker.open_job(Path(sys.argv[1]))
worker.execute_run(run, stopping=run)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("external") / "workspace")
    make_image_dataset(workspace)
    write_image_dataset(workspace, "clinic", first=50, patients=FEW)
    return workspace


@pytest.fixture(scope="module")
def network(workspace):
    return train_on_files(workspace)


@pytest.fixture(scope="module")
def evaluated(network):
    return finish_run(start("evaluate", network))


def assert_like_predict(run, probs):
    folder = run.workspace.dataset_folder("clinic")
    predicted = predict_files(run, *(folder / split for split in FEW), pictures=0)
    assert get_probs(predicted) == pytest.approx(probs, abs=1e-6)


def read_probs(table):
    return dict(zip(table["image_id"], table["prob"], strict=True))


@pytest.mark.parametrize(
    "given",
    [
        {"tta": True},
        {"two_views": True},
        {"architecture": "resnet10t", "lesion_guidance": "stride16"},
        {"ema": 0.9},
    ],
    ids=lambda given: " ".join(given),
)
def test_a_network_of_any_kind_is_tested_as_it_predicts(workspace, given):
    run = train_on_files(workspace, **given)
    finish_run(start("compare", run))
    assert_like_predict(run, read_probs(read_external(run)))


def test_an_average_has_the_mean_of_its_members_which_a_report_finds(workspace, network):
    forest = finish_run(forest_run(network))
    average = finish_run(average_run(network, forest))
    finish_run(start("compare", network, forest, average))
    tables = [read_external(run) for run in (network, forest)]
    assert_like_predict(forest, read_probs(tables[1]))
    mean = tables[0].assign(prob=(tables[0]["prob"] + tables[1]["prob"]) / 2)
    assert_like_predict(average, read_probs(mean))
    assert read_probs(read_external(average)) == pytest.approx(read_probs(mean))
    tests = list_external_tests([average])
    assert [read_probs(test.predictions[average.id]) for test in tests] == [read_probs(read_external(average))]


def test_predictions_are_made_once_and_again_if_their_file_was_changed(network, evaluated):
    (path,) = list_external_files(network)
    before = path.read_bytes(), path.stat().st_mtime_ns
    finish_run(start("compare", network, unit="breast"))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    path.write_bytes(before[0].replace(b"0.", b"0.9", 1))
    finish_run(start("compare", network, unit="patient"))
    assert path.read_bytes() == before[0]


def test_evaluate_shows_both_tests_and_writes_every_table_and_figure_of_the_external_one(network, evaluated):
    result = evaluated.read_status().result
    rows = {(row["split"], row["unit"]): row for row in result["rows"]}
    assert {split for split, _ in rows} == {"test", "val", "external"}
    own, external = (rows[split, "image"] for split in ("test", "external"))
    assert (own["threshold"], own["temperature"]) == (external["threshold"], external["temperature"])
    (drop,) = (one for one in result["drops"] if one["unit"] == "image")
    for metric in ("auc", "sensitivity", "specificity"):
        assert drop[f"{metric}_drop"] == pytest.approx(own[metric] - external[metric])
    names = ["roc", "precision-recall", "reliability", "confusion", "scores"]
    assert [Path(one.path).stem for one in evaluated.read_events() if isinstance(one, Picture)] == names
    assert "external test, per image: 14 images" in (evaluated.folder / "tables" / "metrics-test.md").read_text()
    assert (evaluated.folder / "tables" / "drop.tex").is_file()


def test_images_of_one_class_are_evaluated_without_an_auc(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    make_image_dataset(workspace)
    write_image_dataset(workspace, "screening", first=50, patients=FEW)
    rewrite_manifest(workspace, lambda manifest: manifest[manifest["label"] == "benign"], "screening")
    run = finish_run(start("evaluate", train_on_files(workspace), dataset="screening"))
    (drop, *_) = run.read_status().result["drops"]
    assert drop["external_auc"] is None
    assert 0 <= drop["external_specificity"] <= 1
    assert any("all of one class" in one.text for one in run.read_events() if isinstance(one, Note))


@pytest.mark.parametrize("moment", ["the cache", "the predictions"])
def test_a_killed_external_test_ends_identical(tmp_path, moment):
    ends = []
    for name in ("calm", "killed"):
        workspace = Workspace(tmp_path / name)
        make_image_dataset(workspace)
        write_image_dataset(workspace, "clinic", first=50, patients=FEW)
        trained = train_on_files(workspace)
        run = start("compare", trained)
        if name == "killed":
            command = [sys.executable, "-c", KILLED, str(run.folder), moment]
            process = subprocess.run(command, cwd=PROJECT, env=os.environ, capture_output=True, text=True)
            assert process.returncode == -signal.SIGKILL, process.stderr
            assert not list_external_files(trained)
        finish_run(run)
        (path,) = list_external_files(trained)
        ends.append((read_predictions(path), run.read_status().result["models"][0]["auc_drop"]))
    pd.testing.assert_frame_equal(ends[0][0], ends[1][0], check_exact=True)
    assert ends[0][1] == ends[1][1]


def test_steps_that_no_longer_exist_are_named(network, tmp_path):
    facts = network.read_environment()
    steps = facts["images_seen"]["steps"]["steps"]
    changed = {
        **facts,
        "images_seen": {
            **facts["images_seen"],
            "steps": facts["images_seen"]["steps"] | {"steps": [["sepia", {}], *steps]},
        },
    }
    try:
        files.write_json(network.folder / "environment.json", changed)
        message, hint = fail(start("compare", network, dataset="clinic"))
    finally:
        files.write_json(network.folder / "environment.json", facts)
    assert "there is no step sepia" in message
    assert "preprocess its dataset again" in hint


def test_a_segmentation_has_no_prediction_for_another_dataset_and_is_refused_by_name(workspace):
    given = {"dataset": "files", "cache": "files", "backbone": "test_resnet", "classes": "lesion"}
    quick = {"weights": "none", "epochs": 1, "warmup_epochs": 0, "batch_size": 8}
    segmenting = finish_run(find_or_create_job(workspace, "segment", given | quick | CPU))
    message, hint = fail(start("compare", segmenting))
    assert segmenting.id in message
    assert "train, forest, average" in hint
