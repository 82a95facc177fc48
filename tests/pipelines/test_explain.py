"""Explanations of a train run: scored against breast and lesion masks beside trivial baselines, and drawn."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.small_dataset import PATIENTS, finish_run, make_small_dataset, make_train_run
from tfm.analysis.explanation.attention_map import compute_attention_map
from tfm.analysis.explanation.figure import CORRECT, INCORRECT, RANDOM, ExplainedImage, choose_examples
from tfm.analysis.explanation.scores import read_scores
from tfm.core import files
from tfm.core.events import Note, Picture, Table
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.metrics.saliency import measure_share_outside
from tfm.models.build import build_model
from tfm.models.settings import ModelSettings
from tfm.training.checkpoint import read_checkpoint
from tfm.training.tasks import breast_aware_classification, task_spec

TERMS = {"background_contrast": 0.1, "beta": 1e-3, "attention_gamma": 1e-3}
SWIN = {"architecture": "swin_pico", "epochs": 1, "pooling": "breast"} | TERMS
PLAIN = {"looks": ["brightest tissue", "centre", "everywhere alike"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("explain") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **SWIN))


def explain_run(trained, **given):
    known = {"run": trained.id, "pictures": 3, "threads": 1, "device": "cpu"}
    return find_or_create_job(trained.workspace, "explain", known | given)


@pytest.fixture(scope="module")
def explained(trained):
    return finish_run(explain_run(trained))


def looks_of(run):
    return files.read_json(run.folder / "explained.json")["looks"]


def test_every_method_is_scored_on_every_test_image_beside_baselines(explained):
    table = read_scores(explained.scores_file)
    ways = ["attention", "Grad-CAM for benign", "Grad-CAM for malignant", *PLAIN["looks"]]
    assert list(dict.fromkeys(table["look"])) == ways
    assert set(table.groupby("look")["image_id"].nunique()) == {2 * PATIENTS["test"]}
    looks = looks_of(explained)
    assert set(looks) >= set(ways)
    for way in ("attention", "centre"):
        assert all(0 <= looks[way][name] <= 1 for name in ("outside", "energy", "points"))
        assert looks[way]["outside_low"] <= looks[way]["outside"] <= looks[way]["outside_high"]
    assert looks["brightest tissue"]["outside"] == 0
    assert looks["everywhere alike"]["points"] is None


def test_attention_is_that_of_the_network_that_made_the_predictions(trained, explained):
    cache = Cache.open(trained.workspace.cache_folder("pocket"))
    network = build_model(ModelSettings(architecture="swin_pico"), cache.images.shape[1:]).eval()
    network.load_state_dict(read_checkpoint(trained.checkpoints_folder / "best.pt")["network"])
    table = read_scores(explained.scores_file).query("look == 'attention'")
    for name, outside in zip(table["image_id"], table["outside"], strict=True):
        at = cache.index["image_id"].tolist().index(name)
        grey = torch.from_numpy(cache.images[at].astype(np.float32) / 255)[None, None]
        scale = trained.read_environment()["normalisation"]
        heat = compute_attention_map(network, (grey - scale["mean"]) / scale["deviation"])[0].numpy()
        assert outside == pytest.approx(measure_share_outside(heat, cache.breast[at] > 0), abs=1e-4)


def test_the_table_and_the_figure_state_the_protocol_and_the_number_of_images(explained):
    (table,) = [event for event in explained.read_events() if isinstance(event, Table)]
    assert "20 images (10 malignant) of 10 patients" in table.caption
    assert "say nothing about performance on real mammograms" in table.caption
    assert {row[0]: row[-2:] for row in table.rows}["attention"] == ["20", "20"]
    (picture,) = [event for event in explained.read_events() if isinstance(event, Picture)]
    assert (explained.workspace.root / picture.path).read_bytes().startswith(b"\x89PNG")
    assert explained.read_status().result["look"] == "attention"
    assert explained.read_status().result["outside"] == looks_of(explained)["attention"]["outside"]


def test_a_convolutional_network_is_explained_by_grad_cam_alone_and_on_validation_if_asked(trained):
    given = {"architecture": "test_resnet", "epochs": 1}
    run = finish_run(explain_run(finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **given)), split="val"))
    assert next(iter(looks_of(run))) == "Grad-CAM for benign"
    assert "attention" not in looks_of(run)
    table = read_scores(run.scores_file)
    assert table["patient_id"].str.startswith("P_val").all()
    assert "validation, per image" in files.read_json(run.folder / "explained.json")["protocol"]


def test_explaining_computes_no_spectral_term(trained, monkeypatch):
    def no_term(*_given):
        raise AssertionError("a spectral term")

    monkeypatch.setattr(task_spec, "SpectralNorms", no_term)
    monkeypatch.setattr(breast_aware_classification, "compute_excess", no_term)
    finish_run(explain_run(trained, split="val"))


def test_images_without_breast_or_lesion_are_left_out_of_the_scores_and_reported(trained, workspace):
    make_small_dataset(workspace)
    folder = workspace.cache_folder("pocket")
    test = slice(2 * (PATIENTS["train"] + PATIENTS["val"]), None)
    for name, bare in (("breast", 3), ("lesions", 5)):
        array = np.load(folder / f"{name}.npy")
        array[test][:bare] = 0
        np.save(folder / f"{name}.npy", array)
    run = finish_run(
        explain_run(finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1)))
    )
    (table,) = [event for event in run.read_events() if isinstance(event, Table)]
    # A second row counts the images of a method whose map is empty for some of them.
    assert ["17", "15"] in [row[-2:] for row in table.rows if "centre" in row[0]]
    told = [event.text for event in run.read_events() if isinstance(event, Note)]
    assert any("20 images, 15 of them with a lesion in their mask" in text for text in told)
    assert any("3 of the 20 images have an empty breast mask" in text for text in told)


def test_images_changed_since_training_are_refused(trained, workspace):
    make_small_dataset(workspace)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1))
    path = workspace.cache_folder("pocket") / "images.npy"
    images = np.load(path)
    images[0, 0, 0] += 1
    np.save(path, images)
    explanation = explain_run(run)
    assert worker.execute_run(explanation, stopping=explanation) == "failed"
    assert "images of" in explanation.read_status().message


def test_examples_are_confident_correct_confident_wrong_and_random():
    probs = [0.99, 0.6, 0.01, 0.45, 0.95, 0.3, 0.7]
    labels = [1, 1, 0, 0, 0, 1, 1]
    table = pd.DataFrame({"image_id": list("abcdefg"), "label": labels, "prob": probs})
    shown = choose_examples(table, 0.5, 6)
    assert [shown[CORRECT], shown[INCORRECT]] == [[0, 2], [4, 5]]
    assert len(shown[RANDOM]) == 2
    assert not set(shown[RANDOM]) & {0, 2, 4, 5}
    assert shown == choose_examples(table, 0.5, 6)
    assert choose_examples(table.assign(label=[1, 1, 0, 0, 1, 0, 1]), 0.5, 6)[INCORRECT] == [], "nothing is wrong"


def test_a_picture_shows_label_prediction_and_probability():
    nothing = np.zeros((1, 1), bool)
    page = ExplainedImage(INCORRECT, "P_1", 1, 0, 0.54, nothing, nothing, nothing, {})
    assert page.title == f"{INCORRECT}: malignant, called benign (0.54)\nP_1"
