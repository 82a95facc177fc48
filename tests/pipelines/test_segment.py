"""Segment runs: their results, their use by other commands, and data that they refuse."""

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.training.small_dataset import (
    PATIENTS,
    QUICK_SETTINGS,
    finish_run,
    make_small_dataset,
    make_train_run,
    rewrite_manifest,
    rewrite_records,
)
from tfm.analysis.predictions import read_predictions
from tfm.core import files
from tfm.core.errors import SettingsError
from tfm.core.events import Note, Progress, Table
from tfm.core.registry import find_stage
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.restart_or_extend import extend_run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.metrics.classification import find_youden_threshold
from tfm.training.minutes_of_work import measure_minutes_of_work

TINY = {"backbone": "test_resnet", "classes": "lesion"}
CLEAR = ["P_test00_LEFT_CC", "P_test00_LEFT_MLO"]


def segment_run(workspace, **given):
    return find_or_create_job(workspace, "segment", QUICK_SETTINGS | TINY | given)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The first test patient has no lesion; where the lesions of the second are is unknown."""
    workspace = Workspace(tmp_path_factory.mktemp("segment") / "workspace")
    make_small_dataset(workspace)

    def changed(manifest):
        manifest.loc[manifest["patient_id"] == "P_test00", ["mask", "kind", "lesions"]] = "", "", "0"
        manifest.loc[manifest["patient_id"] == "P_test01", "mask"] = ""
        return manifest

    rewrite_manifest(workspace, changed)
    rewrite_records(workspace, lambda name, record: record | ({"lesions": ""} if name in CLEAR else {}))
    change_lesions(workspace, lambda lesions, names: np.where(np.isin(names, CLEAR)[:, None, None], 0, lesions))
    return finish_run(segment_run(workspace))


def change_lesions(workspace, change):
    folder = workspace.cache_folder("pocket")
    names = [line.split(",")[0] for line in (folder / "index.csv").read_text().splitlines()[1:]]
    np.save(folder / "lesions.npy", change(np.load(folder / "lesions.npy"), names).astype(np.uint8))


def begun(run) -> list[str]:
    """List the notes before the first step, and stop there."""
    told = []
    with run.hold_lock():
        events = find_stage("segment").generate(load_settings(run), run)
        for event in events:
            if isinstance(event, Progress) and event.name == "step":
                break
            told += [event.text] if isinstance(event, Note) else []
        events.close()
    return told


def notes(run) -> str:
    return " ".join(event.text for event in run.read_events() if isinstance(event, Note))


def test_every_image_has_a_prediction(run):
    for split in ("val", "test"):
        table = read_predictions(run.predictions_file(split))
        assert list(table.columns) == ["image_id", "patient_id", "side", "view", "label", "prob"]
        assert len(table) == 2 * PATIENTS[split]
        assert table["prob"].between(0, 1).all()
        assert table["prob"].nunique() > 1
    val = read_predictions(run.predictions_file("val"))
    assert run.read_status().result["threshold"] == find_youden_threshold(
        val["label"].to_numpy(), val["prob"].to_numpy()
    )


def test_images_without_a_lesion_are_evaluated_and_images_with_unknown_lesions_are_not(run):
    figures = files.read_json(run.folder / "lesions.json")["lesion"]
    assert figures["model"]["images"] == figures["model"]["lesions"] == 2 * PATIENTS["test"] - 4
    assert figures["nothing"]["clear"] == 1, "of the two without a lesion"
    assert figures["brightest blob"]["clear"] == 0
    assert "18 test images, 2 without a lesion" in notes(run)
    assert "2 test images have no lesion mask" in notes(run)


def test_the_model_is_reported_beside_baselines_with_intervals(run):
    (table,) = (event for event in run.read_events() if isinstance(event, Table))
    assert [row[1] for row in table.rows] == ["model", "brightest blob", "nothing"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    account = files.read_json(run.folder / "lesions.json")
    for said in (table.caption, account["protocol"]):
        assert "18 images (8 malignant) of 9 patients whose lesions are known" in said
        assert "chosen on validation by Dice" in said
        assert "Youden" not in said
    found, blob, nothing = (account["lesion"][way] for way in ("model", "brightest blob", "nothing"))
    assert {nothing[f"{name}_{end}"] for name in ("dice", "found_2", "clear") for end in ("low", "high")} == {None}
    assert (nothing["dice"], nothing["found_2"], nothing["area_error"]) == (0, 0, 1)
    assert found["dice_low"] < found["dice"] < found["dice_high"]
    assert found["dice"] == run.read_status().result["dice"]
    assert 0 <= found["found_0.5"] <= found["found_1"] <= found["found_2"] <= 1
    assert 0.2 < blob["dice"] < 1, "discs are bright, and stars are not"


def test_lesions_of_the_small_dataset_are_segmented(run):
    assert run.read_status().result["dice"] > 0.4


def test_best_median_and_worst_cases_are_drawn(run):
    picture = cv2.imread(str(run.figures_folder / "overlays.png"))
    lime, orange = (np.array(colour) for colour in ((0, 255, 0), (0, 69, 255)))  # as OpenCV orders them
    for colour in (lime, orange):
        assert (np.abs(picture.astype(int) - colour).max(axis=2) < 40).sum() > 50


def test_it_can_be_compared_with_a_classifier_and_evaluated(run):
    classifier = finish_run(make_train_run(run.workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1))
    compared = finish_run(find_or_create_job(run.workspace, "compare", {"runs": [run.id, classifier.id]}))
    (table,) = (event for event in compared.read_events() if isinstance(event, Table))
    assert {row[table.columns.index("model")] for row in table.rows} >= {"DeepLabV3Plus, lesion", "ResNet18_CFT"}
    evaluation = finish_run(find_or_create_job(run.workspace, "evaluate", {"runs": [run.id]}))
    assert evaluation.read_status().result["rows"][0]["auc"] is not None


def test_train_starts_it_by_the_name_of_its_preset(run):
    assert find_or_create_job(run.workspace, "train", QUICK_SETTINGS | TINY, ["DeepLabV3Plus"]).id == run.id


def test_weights_of_a_segmenter_with_other_classes_are_refused(run):
    def rename_patients(manifest):
        return manifest.assign(patient_id=manifest["patient_id"].str.replace("P_", "Q_"))

    make_small_dataset(run.workspace, "others")
    rewrite_manifest(run.workspace, rename_patients, "others")
    others = {"dataset": "others", "cache": "others", "weights": f"run:{run.id}", "epochs": 1}
    again = segment_run(run.workspace, **others)
    begun(again)
    assert set(run.read_environment()["patients_seen"]) < set(again.read_environment()["patients_seen"])
    refused = segment_run(run.workspace, **(others | {"classes": "malignancy"}))
    assert worker.execute_run(refused, stopping=refused) == "failed"
    assert "classes are background, lesion, not background, benign" in refused.read_status().message
    assert "setting: classes" in refused.read_status().hint


@pytest.mark.long
def test_two_processes_train_like_one_with_equally_large_steps(run):
    """Except for the running statistics of batch norm, which come from the first process: validation differs."""
    plain = {"epochs": 1, "tile": 32, "batch_size": 6}
    both, alone = (
        finish_run(segment_run(run.workspace, **plain, **how)) for how in ({"devices": 2}, {"accumulate": 2})
    )
    one, two = (pd.read_csv(which.metrics_file)["train_loss"][0] for which in (both, alone))
    assert one == pytest.approx(two, rel=1e-5)
    assert "2 processes" in notes(both)


def test_an_extension_counts_the_minutes_of_the_run_it_extends(run):
    longer = finish_run(extend_run(run, 3))
    assert measure_minutes_of_work(longer) == pytest.approx(
        (run.read_status().seconds + longer.read_status().seconds) / 60
    )


def test_an_extension_with_other_classes_is_refused(run):
    longer = segment_run(run.workspace, epochs=3, extends=run.id, classes="malignancy")
    assert worker.execute_run(longer, stopping=longer) == "failed"
    assert "classes are background, lesion, not background, benign" in longer.read_status().message


@pytest.fixture
def pocket_workspace(workspace):
    make_small_dataset(workspace)
    return workspace


def refusal(workspace, **given) -> str:
    run = segment_run(workspace, **given)
    assert worker.execute_run(run, stopping=run) == "failed"
    return f"{run.read_status().message} ({run.read_status().hint})"


def test_a_dataset_without_lesion_masks_is_refused(pocket_workspace):
    rewrite_manifest(pocket_workspace, lambda manifest: manifest.assign(mask=""))
    said = refusal(pocket_workspace)
    assert "no training image has a lesion in its mask" in said
    assert "images=full" in said


def test_masks_added_after_the_cache_was_made_are_reported(pocket_workspace):
    """Otherwise they would count as images without a lesion."""
    rewrite_records(pocket_workspace, lambda name, record: record | ({"lesions": ""} if "train0" in name else {}))
    said = refusal(pocket_workspace)
    assert "20 images have a lesion mask in pocket" in said
    assert "P_train00_LEFT_CC" in said
    assert "preprocess the dataset again" in said


def test_masks_with_an_old_numbering_are_refused(pocket_workspace):
    old = {encode_mask_class("mass", "BENIGN"): 1, encode_mask_class("mass", "MALIGNANT"): 2}
    change_lesions(pocket_workspace, lambda lesions, _: np.vectorize(lambda value: old.get(value, 0))(lesions))
    assert "the value 2 (calcification without callback)" in refusal(pocket_workspace)


def test_sampling_needs_both_labels_among_images_with_known_lesions(pocket_workspace):
    def lose_malignant_masks(manifest):
        manifest.loc[(manifest["split"] == "train") & (manifest["label"] == "malignant"), "mask"] = ""
        return manifest

    rewrite_manifest(pocket_workspace, lose_malignant_masks)
    said = refusal(pocket_workspace, balance="sampling")
    assert "all 18 training images with known lesions are benign" in said


def test_tiles_larger_than_the_images_are_refused(pocket_workspace):
    assert "80 pixels cannot be cut out of images of 64 × 64" in refusal(pocket_workspace, tile=80)
    with pytest.raises(SettingsError, match="has no effect when tile is none"):
        segment_run(pocket_workspace, lesion_tiles=0.5)


def test_lesions_smaller_than_a_pixel_are_counted_and_reported(pocket_workspace):
    three = ["P_train00_LEFT_CC", "P_train00_LEFT_MLO", "P_val00_LEFT_CC"]
    rewrite_records(
        pocket_workspace, lambda name, record: record | ({"lesions_below_a_pixel": 2} if name in three else {})
    )
    said = " ".join(begun(segment_run(pocket_workspace)))
    assert "6 lesions in 3 images are smaller than a pixel" in said
