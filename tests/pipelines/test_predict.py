"""Predict: probabilities of files are those of the run, and what is no mammogram is refused with its reason."""

import re
import shutil

import cv2
import numpy as np
import pytest

from tests.imaging.dicom_files import build_colour, build_dataset
from tests.pipelines.predicting import (
    draw_breast,
    make_image_dataset,
    predict_files,
    read_rows,
    start_prediction,
    train_on_files,
)
from tfm.analysis.calibration import find_temperature, scale_probabilities
from tfm.analysis.predictions import read_predictions
from tfm.analysis.trained_run import open_trained_model
from tfm.core.errors import SettingsError
from tfm.core.events import Note, Table
from tfm.core.runs import worker
from tfm.core.runs.workspace import Workspace

NOTICE = "For research and teaching, not for diagnosis."


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("predict") / "workspace")
    make_image_dataset(workspace)
    return train_on_files(workspace)


@pytest.fixture(scope="module")
def own_test(trained):
    """The test split of the run, predicted from its files."""
    return predict_files(trained, trained.workspace.dataset_folder("files") / "test")


def get_probs(run):
    return {row["file"].rpartition("/")[2].removesuffix(".png"): float(row["prob"]) for row in read_rows(run)}


def get_stored(run):
    table = read_predictions(run.predictions_file("test"))
    return dict(zip(table["image_id"], table["prob"], strict=True))


def test_files_of_the_test_split_get_the_probabilities_that_the_run_stored(trained, own_test):
    assert get_probs(own_test) == pytest.approx(get_stored(trained), abs=1e-6)


def test_calibration_is_that_of_validation_and_changes_no_order(trained, own_test):
    temperature = find_temperature(open_trained_model(trained))
    rows = sorted(read_rows(own_test), key=lambda row: float(row["prob"]))
    probs, calibrated = (np.array([float(row[name]) for row in rows]) for name in ("prob", "calibrated"))
    assert calibrated == pytest.approx(scale_probabilities(probs, temperature), abs=1e-12)
    assert (np.diff(calibrated) >= 0).all()


def test_verdicts_are_those_at_the_threshold_of_the_run(trained, own_test):
    threshold = trained.read_status().result["threshold"]
    for row in read_rows(own_test):
        assert row["called"] == ("malignant" if float(row["prob"]) >= threshold else "benign")


def test_breasts_and_patients_are_those_of_evaluate(trained, own_test):
    stored = read_predictions(trained.predictions_file("test"))
    breasts = stored.groupby("patient_id")["prob"].mean()
    assert {row["breast"]: row["images"] for row in read_rows(own_test, "breasts")} == {
        f"{patient} LEFT": "2" for patient in breasts.index
    }
    patients = {row["patient"]: float(row["prob"]) for row in read_rows(own_test, "patients")}
    assert patients == pytest.approx(dict(breasts), abs=1e-6)


def test_every_output_says_that_it_is_no_diagnosis(own_test):
    for name in ("images", "breasts", "patients"):
        assert {row["notice"] for row in read_rows(own_test, name)} == {NOTICE}
    assert NOTICE in (own_test.folder / "predictions.html").read_text()
    assert own_test.read_status().result["notice"] == NOTICE


def test_patients_of_training_and_validation_are_marked_and_those_of_the_test_are_not(trained, own_test):
    assert {row["seen_in_training"] for row in read_rows(own_test)} == {""}
    rows = read_rows(predict_files(trained, trained.workspace.dataset_folder("files") / "val", pictures=0))
    assert [row["seen_in_training"] for row in rows] == [row["patient_id"] for row in rows]
    assert all("trained or validated on patient" in row["remarks"] for row in rows)


def test_an_anonymous_copy_of_a_training_image_is_recognised_by_its_pixels(mixed):
    (row,) = [row for row in read_rows(mixed) if row["file"] == "anonymous copy.tif"]
    assert row["patient_id"] == ""
    assert row["seen_in_training"] == "P_00001"


@pytest.fixture(scope="module")
def mixed(trained, tmp_path_factory):
    """Good and bad files in one folder, predicted."""
    folder = tmp_path_factory.mktemp("mixed")
    training = trained.workspace.dataset_folder("files") / "train"
    cv2.imwrite(str(folder / "anonymous copy.tif"), cv2.imread(str(training / "malignant" / "P_00001_LEFT_CC.png"), 0))
    generator, good = np.random.default_rng(1), draw_breast(77)
    harsh = np.where(generator.random(good.shape) < 0.5, 60, generator.integers(90, 255, good.shape))
    cv2.imwrite(str(folder / "unnamed.png"), good)
    cv2.imwrite(str(folder / "=HYPERLINK(1) <b>.png"), good)
    cv2.imwrite(str(folder / "harsh.png"), np.where(good > 0, harsh, 0).astype(np.uint8))
    cv2.imwrite(str(folder / "large.png"), cv2.resize(good, None, fx=6, fy=6))
    cv2.imwrite(str(folder / "black on white.png"), 255 - good)
    cv2.imwrite(str(folder / "tiny.png"), good[::4, ::4])
    cv2.imwrite(str(folder / "flat.png"), np.full_like(good, 7))
    cv2.imwrite(str(folder / "mask.png"), np.where(good > 100, 255, 0).astype(np.uint8))
    noise = np.random.default_rng(2).integers(0, 255, (400, 320)).astype(np.uint8)
    cv2.imwrite(str(folder / "noise.png"), cv2.GaussianBlur(noise, (0, 0), 2))
    cv2.imwrite(str(folder / "colour.png"), cv2.merge([good, good // 2, good]))
    cv2.imwrite(str(folder / "Mass-Test_P_90001_LEFT_CC_1.png"), good)
    (folder / "cut.png").write_bytes((folder / "unnamed.png").read_bytes()[:2000])
    (folder / "letter.txt").write_text("of the ward")
    (folder / "empty.dcm").touch()
    grey = good.astype(np.uint16) * 16
    facts = {"PatientID": "H-17", "ImageLaterality": "R", "ViewPosition": "MLO", "Manufacturer": "ACME"}
    for name, made in (
        ("digital.dcm", build_dataset(grey, Modality="MG", **facts)),
        ("P_90002_LEFT_MLO.dcm", build_dataset(grey, Modality="MG", **facts)),
        ("breast.dcm", build_dataset(grey, Modality="DX", BodyPartExamined="BREAST")),
        ("head.dcm", build_dataset(grey, Modality="CT")),
        ("chest.dcm", build_dataset(grey, Modality="DX", BodyPartExamined="CHEST")),
        ("rgb.dcm", build_colour(cv2.merge([good, good // 2, good]))),
    ):
        made.save_as(folder / name, enforce_file_format=True)
    return predict_files(trained, folder)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tiny.png", "tiny: 24 × 20 pixels"),
        ("flat.png", "no breast found"),
        ("flat.png", "open the file in a viewer"),
        ("mask.png", "only two grey values"),
        ("noise.png", "from edge to edge"),
        ("colour.png", "a colour image"),
        ("colour.png", "convert it to grey"),
        ("rgb.dcm", "convert it to grey"),
        ("black on white.png", "its background is bright"),
        ("Mass-Test_P_90001_LEFT_CC_1.png", "a crop or a mask"),
        ("cut.png", "truncated"),
        ("cut.png", "copy it again"),
        ("letter.txt", "not an image file; leave it out"),
        ("empty.dcm", "the file is empty"),
        ("empty.dcm", "copy it again"),
        ("head.dcm", "modality CT; leave it out"),
        ("chest.dcm", "chest"),
    ],
)
def test_what_is_no_mammogram_is_refused_with_what_to_do_and_the_rest_goes_on(mixed, name, reason):
    (row,) = [row for row in read_rows(mixed) if row["file"] == name]
    assert row["status"] == "refused"
    assert row["prob"] == ""
    assert reason in row["reason"]


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("unnamed.png", "its patient is unknown"),
        ("harsh.png", "unusual grey levels"),
        ("large.png", "unusual size"),
        ("breast.dcm", "modality DX"),
        ("P_90002_LEFT_MLO.dcm", "its name says P_90002 LEFT"),
    ],
)
def test_an_image_unlike_the_training_images_is_predicted_and_says_so(mixed, name, remark):
    (row,) = [row for row in read_rows(mixed) if row["file"] == name]
    assert row["status"] == "predicted"
    assert remark in row["remarks"]


def test_patient_side_and_view_come_from_the_header_before_the_name(mixed):
    rows = {row["file"]: row for row in read_rows(mixed)}
    for name in ("digital.dcm", "P_90002_LEFT_MLO.dcm"):
        assert [rows[name][what] for what in ("patient_id", "side", "view", "named_by")] == [
            *("H-17", "RIGHT", "MLO"),
            "header",
        ]
    assert rows["unnamed.png"]["patient_id"] == ""
    assert [row["breast"] for row in read_rows(mixed, "breasts")] == ["H-17 RIGHT"]


def test_names_of_files_are_escaped_in_the_table_and_on_the_page(mixed):
    assert "'=HYPERLINK(1) <b>.png" in [row["file"] for row in read_rows(mixed)]
    page = (mixed.folder / "predictions.html").read_text()
    assert "=HYPERLINK(1) &lt;b&gt;.png" in page
    assert "<b>" not in page


def test_what_all_files_share_is_said_once_above_the_table_and_long_names_are_shortened(trained, tmp_path):
    for number in range(3):
        name = f"a film with quite a long name, number {number}.png"
        cv2.imwrite(str(tmp_path / name), cv2.resize(draw_breast(70 + number), None, fx=6, fy=6))
    run = predict_files(trained, tmp_path, pictures=1)
    events = list(run.read_events())
    (table,) = (event for event in events if isinstance(event, Table))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert table.columns == ["image", "probability", "calibrated", "called"]
    assert [len(row[0]) for row in table.rows] == [24] * 3
    assert [row[0][-12:] for row in table.rows] == [f"number {number}.png" for number in range(3)]
    (size,) = (note for note in notes if "times as many pixels as the training images" in note)
    assert size.startswith("all 3 images: unusual size")
    page = (run.folder / "predictions.html").read_text()
    assert page.count("times as many pixels as the training images") == 1


def test_the_page_lists_refused_files_first_and_each_verdict_beside_the_name(mixed):
    page = (mixed.folder / "predictions.html").read_text()
    columns = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page[page.index('<h2 id="image">') :])
    assert columns[:2] == ["image", "called"], "a narrow screen shows the verdict beside the name"
    assert page.index("letter.txt") < page.index("How this was computed") < page.index(">unnamed.png<")


def test_a_folder_without_mammograms_is_refused_in_words(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    run = start_prediction(trained, tmp_path)
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "notes.txt: not an image file" in run.read_status().message


def test_a_run_that_is_not_finished_is_refused(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), draw_breast(1))
    unfinished = start_prediction(trained, tmp_path)
    with pytest.raises(SettingsError, match="needs one of train or forest or average"):
        start_prediction(unfinished, tmp_path)


def test_a_run_predicts_after_its_dataset_and_cache_are_deleted(trained, own_test, tmp_path):
    copy = Workspace(shutil.copytree(trained.workspace.root, tmp_path / "copy"))
    shutil.copytree(copy.dataset_folder("files") / "test", tmp_path / "test")
    for kind in ("dataset", "cache"):
        shutil.rmtree(copy.product_folder(kind, "files"))
    (run,) = [run for run in (copy.runs_folder).iterdir() if run.name == trained.id]
    again = predict_files(type(trained)(run, copy), tmp_path / "test", pictures=0)
    assert get_probs(again) == get_probs(own_test)
