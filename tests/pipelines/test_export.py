"""A trained model as a folder to hand on: ONNX, weights, model card and sample script."""

import csv
import io
import shutil
import subprocess
import sys

import cv2
import numpy as np
import onnxruntime
import pytest
import yaml

from tests.data.mass256 import make_mass256
from tests.training.small_dataset import (
    SIDE,
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
)
from tfm.analysis.calibration import calibrate_split
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import open_trained_model
from tfm.core import files
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.data.cache.manifest import describe_settings
from tfm.imaging.settings import ChainSettings
from tfm.models.weights import read_exported_facts

REAL_SIDE = 128
TINY = {"architecture": "test_resnet", "epochs": 1}
CHAIN = ChainSettings(steps={"crop_breast": True, "resize": {"height": SIDE, "width": SIDE}})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("export") / "workspace")
    make_small_dataset(workspace)
    files.write_yaml(workspace.cache_folder("pocket") / "settings.yaml", describe_settings(CHAIN, 1))
    return finish_run(make_train_run(workspace, "ResNet18_CFT", **TINY, tta=True))


def export_run(trained, **given):
    return find_or_create_job(trained.workspace, "export", {"run": trained.id} | given)


@pytest.fixture(scope="module")
def exported(trained):
    return finish_run(export_run(trained)).folder / "model"


def read_card(folder):
    _, header, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), text


def write_images(folder, trained, count):
    """Write the first test images as 8-bit and as 16-bit PNG files; return the files and the stored probabilities."""
    predictions = read_predictions(trained.predictions_file("test"))[:count]
    cache = Cache.open(trained.workspace.cache_folder("pocket"))
    greys = dict(zip(cache.index["image_id"], cache.images, strict=True))
    paths = []
    for name in predictions["image_id"]:
        for bits, image in ((8, greys[name]), (16, greys[name].astype(np.uint16) * 257)):
            paths.append(folder / f"{name}-{bits}.png")
            assert cv2.imwrite(str(paths[-1]), image)
    return paths, np.repeat(predictions["prob"].to_numpy(), 2)


def classify(exported, *paths):
    """Run the sample script as somebody without this program does; it ends by showing what it has imported."""
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'torch', 'cv2', 'pandas', 'tfm'} & set(sys.modules)"
    )
    words = [sys.executable, "-c", code, exported / "classify_images.py", *paths]
    return subprocess.run(list(map(str, words)), cwd=exported, capture_output=True, text=True, check=False)


def test_the_onnx_model_gives_the_probabilities_of_the_run(trained, exported):
    cache = Cache.open(trained.workspace.cache_folder("pocket"))
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    (probs,) = session.run(None, {"images": cache.images[:].astype(np.uint16) * 257})
    by_name = dict(zip(cache.index["image_id"], probs, strict=True))
    for split in ("val", "test"):
        predictions = read_predictions(trained.predictions_file(split))
        own = [by_name[name] for name in predictions["image_id"]]
        np.testing.assert_allclose(own, predictions["prob"], atol=1e-5)


def test_the_export_writes_down_how_the_models_agree(exported):
    check = files.read_json(exported / "check.json")
    assert check["from_torch"] <= check["tolerance"] == 1e-4
    assert check["from_predictions"] <= 1e-5
    assert len(check["images"]) == 20


def test_the_sample_script_needs_neither_torch_nor_this_program(exported, trained, tmp_path):
    paths, expected = write_images(tmp_path, trained, 2)
    ended = classify(exported, *paths)
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected, atol=1e-5)
    calibrated = np.repeat(calibrate_split(open_trained_model(trained), "test")[:2], 2)
    np.testing.assert_allclose([float(row["calibrated_probability"]) for row in rows], calibrated, atol=1e-5)
    threshold = trained.read_status().result["threshold"]
    assert [row["at_or_above_threshold"] for row in rows] == ["yes" if p >= threshold else "no" for p in expected]


def test_the_sample_script_explains_each_file_it_cannot_classify_and_goes_on(exported, tmp_path):
    sample = exported / "sample_image.png"
    (tmp_path / "cut.png").write_bytes(sample.read_bytes()[:200])
    (tmp_path / "film.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "folder").mkdir()
    assert cv2.imwrite(str(tmp_path / "small.png"), np.zeros((SIDE, SIDE - 1), np.uint8))
    assert cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((SIDE, SIDE, 3), np.uint8))
    reasons = {
        "folder": "it is a folder",
        "film.dcm": "a DICOM file must be preprocessed first",
        "cut.png": "it cannot be read",
        "absent.png": "there is no such file",
        "small.png": f"{SIDE} x {SIDE - 1} pixels, but the model needs {SIDE} x {SIDE}",
        "colour.png": "it is not a grey image",
    }
    ended = classify(exported, *(tmp_path / name for name in reasons), sample)
    assert ended.returncode == 1
    for (name, reason), line in zip(reasons.items(), ended.stderr.splitlines(), strict=True):
        assert line.startswith(f"{tmp_path / name}: ")
        assert reason in line
    (row,) = csv.DictReader(io.StringIO(ended.stdout))
    assert row["file"] == str(sample)


def test_the_export_has_a_test_image_to_try_the_script_with(trained, exported):
    ended = classify(exported, "sample_image.png")
    assert (ended.returncode, ended.stderr) == (0, "")
    (row,) = csv.DictReader(io.StringIO(ended.stdout))
    name = files.read_json(exported / "check.json")["images"][0]
    stored = read_predictions(trained.predictions_file("test")).set_index("image_id")["prob"]
    assert float(row["probability"]) == pytest.approx(stored[name], abs=1e-5)
    text = read_card(exported)[1].replace("\\", "")
    assert f"the preprocessed test image {name}, to try the script with: synthetic, and needs no licence" in text
    assert "python classify_images.py sample_image.png" in text


def test_the_model_card_states_data_patients_metrics_limits_and_what_comes_before_the_pixels(trained, exported):
    header, text = read_card(exported)
    (result,) = header["model-index"][0]["results"]
    assert {"roc_auc", "sensitivity"} <= {metric["type"] for metric in result["metrics"]}
    assert result["dataset"]["split"] == "test"
    seen = trained.read_environment()["patients_seen"]
    assert f"The weights have seen {len(seen)} patients" in text
    assert "| AUC | " in text
    assert " to " in text[text.index("| AUC | ") :].partition("\n")[0]
    assert "The crop and the size are not part of the model" in text
    assert text.index("crop_breast: margin 0.01") < text.index(f"resize: height {SIDE}, width {SIDE}")
    assert "must not be used for diagnosis" in text
    assert "say nothing about real mammograms" in text


def test_the_exported_steps_are_a_preset_of_preprocess(trained, exported):
    folder = trained.workspace.root / "preprocess"
    folder.mkdir(exist_ok=True)
    shutil.copy(exported / "preprocessing.yaml", folder / "handed_on.yaml")
    preset = trained.workspace.load_preset("preprocess", "handed_on")
    assert preset.settings["steps"] == CHAIN.model_dump(mode="json")["steps"]


def test_exported_weights_start_another_training_with_their_normalisation_and_patients(trained, exported):
    weights = exported / "model.safetensors"
    make_small_dataset(trained.workspace, "others")
    rewrite_manifest(trained.workspace, lambda m: m.assign(patient_id="new" + m["patient_id"]), "others")
    given = {"dataset": "others", "cache": "others", "weights": f"file:{weights}"}
    run = finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **TINY, **given))
    began, before = run.read_environment(), trained.read_environment()
    assert began["normalisation"] == before["normalisation"]
    assert set(before["patients_seen"]) < set(began["patients_seen"])
    assert began["origin_unknown"] == []
    assert run.read_status().result["weights"] == "model.safetensors"


def test_exported_weights_are_refused_where_they_have_seen_the_patients(trained, exported):
    run = make_train_run(trained.workspace, "ResNet18_CFT", **TINY, weights=f"file:{exported / 'model.safetensors'}")
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "have seen 8 of the 8 validation patients" in run.read_status().message


def test_an_exported_file_names_the_patients_it_has_seen(trained, exported):
    facts = read_exported_facts(exported / "model.safetensors")
    assert facts["patients_seen"] == trained.read_environment()["patients_seen"]
    assert facts["run"] == trained.id


@pytest.mark.long
@pytest.mark.parametrize(
    ("given", "words"),
    [({"two_views": True}, "two images of a breast together"), ({"pooling": "breast"}, "no breast mask")],
    ids=["two views", "breast mask"],
)
def test_a_model_that_needs_more_than_one_image_is_exported_as_weights_alone(trained, given, words):
    run = finish_run(make_train_run(trained.workspace, "ResNet18_CFT", **TINY, **given))
    refused = export_run(run)
    assert worker.execute_run(refused, stopping=refused) == "failed"
    assert words in refused.read_status().message
    assert "onnx=false" in refused.read_status().hint
    folder = finish_run(export_run(run, onnx=False)).folder / "model"
    assert {path.name for path in folder.iterdir()} == {"README.md", "model.safetensors", "preprocessing.yaml"}
    assert "model.onnx" not in read_card(folder)[1]


@pytest.fixture(scope="module")
def real_workspace(shared_data, tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("real") / "workspace")
    make_mass256(workspace, shared_data, "real", side=REAL_SIDE, seed=1)
    return workspace


@pytest.mark.long
@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="ResNet18"),
        pytest.param({"architecture": "densenet121"}, id="DenseNet121"),
        pytest.param({"architecture": "efficientnet_b3"}, id="EfficientNetB3"),
        pytest.param({"architecture": "swin_pico"}, id="Swin"),
        pytest.param({"architecture": "MammoCNN"}, id="MammoCNN"),
        pytest.param({"lesion_guidance": "stride16"}, id="lesion guided"),
        pytest.param({"lesion_guidance": "stride16", "tile": 64}, id="lesion guided, tiles"),
        pytest.param({"head": 128}, id="hidden layer"),
        pytest.param({"max_pooling": True}, id="average and maximum"),
    ],
)
def test_every_kind_of_model_gives_the_same_probabilities_on_real_mammograms(real_workspace, given):
    known = {"dataset": "real", "cache": "real", "epochs": 1, "batch_size": 32}
    run = finish_run(make_train_run(real_workspace, "ResNet18_CFT", **known | given))
    check = files.read_json(finish_run(export_run(run, images=100)).folder / "model" / "check.json")
    assert len(check["images"]) == 100
    assert check["from_torch"] <= 1e-4
    assert check["from_predictions"] <= 1e-4
