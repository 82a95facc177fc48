"""The flow of patients: every image that the case files name is in a split or left out by name."""

import json

import pandas as pd
import pytest

from tests.training.small_dataset import make_small_dataset
from tfm.analysis.report.patient_flow import Count, count_patients
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import Dataset

LEFT_OUT = {
    "P_00901": "no complete file",
    "P_00902": "no complete file",
    "P_test00": "a training image of a test patient",
}


@pytest.fixture
def flow(tmp_path):
    """Two patients have no image left, one has one less; P_00903 is another name of P_train00."""
    workspace = Workspace(tmp_path / "workspace")
    make_small_dataset(workspace)
    folder = workspace.dataset_folder("pocket")
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    named = manifest[["patient_id", "side", "view"]].assign(kind="mass", lesion_id="1")
    named.loc[named.index[named["patient_id"] == "P_train00"][1], "patient_id"] = "P_00903"
    manifest.loc[manifest["patient_id"] == "P_train00", "image_id"] = named[
        named["patient_id"].isin(["P_train00", "P_00903"])
    ][["patient_id", "side", "view"]].agg("_".join, axis=1)
    manifest.to_csv(folder / "manifest.csv", index=False)
    lost = pd.DataFrame({"patient_id": list(LEFT_OUT), "side": "RIGHT", "view": "CC", "kind": "mass", "lesion_id": "1"})
    pd.concat([named, lost, lost]).to_csv(folder / "lesions.csv", index=False)  # a second lesion is no second image
    audit = json.loads((folder / "audit.json").read_text())
    audit["findings"] = [
        {"kind": "left-out", "subject": f"{patient}_RIGHT_CC", "words": why} for patient, why in LEFT_OUT.items()
    ]
    (folder / "audit.json").write_text(json.dumps(audit))
    return count_patients(Dataset.open(folder))


def test_images_that_are_named_are_kept_or_left_out(flow):
    assert flow.named.images == flow.kept.images + sum(count.images for count in flow.left_out.values())
    assert flow.kept.images == sum(count.images for count in flow.splits.values())
    assert flow.kept.patients == sum(count.patients for count in flow.splits.values())
    for split, count in flow.splits.items():
        assert sum(flow.labels[split].values()) == count.images


def test_reasons_are_counted_in_images_and_patients(flow):
    assert flow.left_out == {"no complete file": Count(2, 2), "a training image of a test patient": Count(1, 1)}


def test_patients_without_an_image_and_patients_with_two_names_are_told_apart(flow):
    assert flow.merged == 1
    assert flow.without_images == 2
    assert flow.named.patients == flow.kept.patients + flow.merged + flow.without_images


def test_images_of_another_collection_are_counted_by_the_names_in_its_table(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    make_small_dataset(workspace)
    folder = workspace.dataset_folder("pocket")
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    lost = pd.DataFrame({"image_id": ["own:P1_LEFT"], "patient_id": ["own:P1"]})
    pd.concat([manifest[["image_id", "patient_id"]], lost]).to_csv(folder / "lesions.csv", index=False)
    audit = json.loads((folder / "audit.json").read_text())
    audit["findings"] = [{"kind": "left-out", "subject": "own:P1_LEFT", "words": "no complete file"}]
    (folder / "audit.json").write_text(json.dumps(audit))
    flow = count_patients(Dataset.open(folder))
    assert flow.left_out == {"no complete file": Count(1, 1)}
    assert flow.named.images == len(manifest) + 1
