"""Explanations of a train run: scored against breast and lesion masks beside trivial baselines, and drawn."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.small_dataset import PATIENTS, change_masks, finish_run, make_small_dataset, make_train_run
from tfm.analysis.explanation.attention_map import compute_attention_map
from tfm.analysis.explanation.gallery import (
    CONFIDENT,
    FALSE_NEGATIVES,
    FALSE_POSITIVES,
    RANDOM,
    TRUE_NEGATIVES,
    TRUE_POSITIVES,
    Example,
    ExplainedImage,
    choose_galleries,
    choose_occluded,
)
from tfm.analysis.explanation.scores import read_scores
from tfm.analysis.predictions import read_predictions
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
    known = {"run": trained.id, "pictures": 4, "occlusion": False, "threads": 1, "device": "cpu"}
    return find_or_create_job(trained.workspace, "explain", known | given)


@pytest.fixture(scope="module")
def explained(trained):
    return finish_run(explain_run(trained, occlusion=True, occluded_images=1))


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
    assert looks["attention"]["outside_low"] <= looks["attention"]["outside"] <= looks["attention"]["outside_high"]
    assert looks["centre"]["outside_low"] is None, "it is the same in every image of these"
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
    table = next(event for event in explained.read_events() if isinstance(event, Table))
    assert "20 images (10 malignant) of 10 patients" in table.caption
    assert "say nothing about performance on real mammograms" in table.caption
    assert {row[0]: row[-2:] for row in table.rows}["attention"] == ["20", "20"]
    picture = next(event for event in explained.read_events() if isinstance(event, Picture))
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
    table = next(event for event in run.read_events() if isinstance(event, Table))
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


def test_a_gallery_shows_its_most_confident_images_and_random_others():
    probs = [0.99, 0.6, 0.01, 0.45, 0.95, 0.3, 0.7, 0.8, 0.9]
    labels = [1, 1, 0, 0, 0, 1, 1, 1, 1]
    table = pd.DataFrame({"image_id": list("abcdefghi"), "label": labels, "prob": probs})
    chosen = choose_galleries(table, 0.5, 16)
    assert [one.place for one in chosen[TRUE_POSITIVES][:2]] == [0, 8]
    assert [one.reason for one in chosen[TRUE_POSITIVES]] == [CONFIDENT, CONFIDENT, RANDOM, RANDOM]
    assert {one.place for one in chosen[TRUE_POSITIVES][2:]} < {1, 6, 7}
    places = {name: [one.place for one in gallery] for name, gallery in chosen.items()}
    assert places[FALSE_POSITIVES] == [4]
    assert places[FALSE_NEGATIVES] == [5]
    assert places[TRUE_NEGATIVES] == [2, 3]
    assert chosen == choose_galleries(table, 0.5, 16)
    assert choose_galleries(table.assign(label=[1, 1, 0, 0, 1, 0, 1, 1, 1]), 0.5, 16)[FALSE_POSITIVES] == []


def test_occlusion_takes_an_image_from_each_gallery_in_turn_and_random_ones_first():
    galleries = {
        TRUE_POSITIVES: [Example(1, CONFIDENT), Example(2, RANDOM)],
        FALSE_POSITIVES: [],
        TRUE_NEGATIVES: [Example(3, CONFIDENT)],
    }
    assert choose_occluded(galleries, 2) == [2, 3]
    assert choose_occluded(galleries, 9) == [2, 3, 1]


def test_a_picture_shows_label_prediction_and_probability():
    nothing = np.zeros((1, 1), bool)
    page = ExplainedImage("P_1_LEFT_CC", "P_1", RANDOM, 1, 0, 0.54, nothing, nothing, nothing, {}, {})
    assert page.title == "P_1_LEFT_CC\nmalignant, called benign (0.54), drawn at random"


def test_galleries_are_two_columns_wide_and_hold_all_outcomes(trained, explained):
    pictures = [event for event in explained.read_events() if isinstance(event, Picture)]
    predictions = read_predictions(trained.predictions_file("test"))
    called = predictions["prob"] >= trained.read_status().result["threshold"]
    outcomes = {
        f"{'true' if call == (label == 1) else 'false'} {'positives' if call else 'negatives'}"
        for call, label in zip(called, predictions["label"], strict=True)
    }
    assert {picture.title.partition(": ")[2] for picture in pictures} == outcomes
    for picture in pictures:
        path = explained.workspace.root / picture.path
        height, width = cv2.imread(str(path)).shape[:2]
        assert 900 < width < 1250
        assert height < width * 1.5
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_occlusion_checks_grad_cam(explained):
    tables = {event.title: event for event in explained.read_events() if isinstance(event, Table)}
    (rows,) = [one.rows for title, one in tables.items() if title == "Occlusion beside Grad-CAM"]
    assert rows[-1][0] == "all"
    caption = tables["Occlusion beside Grad-CAM"].caption
    assert f"n = {rows[-1][-1]} of " in caption
    notes = [event.text for event in explained.read_events() if isinstance(event, Note)]
    announced = r"occlusion: covering parts of 1 of the \d drawn images takes \d+ passes"
    assert any(re.match(announced, text) for text in notes)
    account = files.read_json(explained.folder / "explained.json")["occlusion_beside_grad_cam"]
    assert -1 <= account["all"]["agreement"] <= 1


@pytest.mark.long
def test_without_lesion_masks_it_says_that_explanations_are_not_scored_against_lesions(workspace):
    make_small_dataset(workspace)
    change_masks(workspace, lambda _name, mask: 0 * mask)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1))
    explained = finish_run(explain_run(run))
    told = [event.text for event in explained.read_events() if isinstance(event, Note)]
    assert any("no image has a lesion mask" in text for text in told)
    table = next(event for event in explained.read_events() if isinstance(event, Table))
    assert table.columns == ["map", "outside the breast", "images"]
