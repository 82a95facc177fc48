"""A collection that is not CBIS-DDSM becomes a dataset by a reader and a command of its own."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.sources.clinic import read_catalog
from tests.toy_jobs import finish
from tfm.core.errors import DataError
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.read_image import read_pixels

COLUMNS = ("patient", "breast", "view", "finding", "diagnosis", "set", "image", "mask")


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Ten patients, one image each; every second has cancer, the last image has no file."""
    folder = tmp_path / "clinic"
    folder.mkdir()
    rows = []
    for number in range(1, 11):
        image, mask = f"{number}.png", f"{number}-mask.png"
        pixels = np.full((60, 40), 1000 * number, np.uint16)
        drawn = np.zeros((60, 40), np.uint8)
        drawn[20:30, 10:20] = 255
        if number < 10:
            cv2.imwrite(str(folder / image), pixels)
            cv2.imwrite(str(folder / mask), drawn)
        diagnosis = "cancer" if number % 2 else "benign"
        rows.append((number, "LEFT", "CC", "mass", diagnosis, "test" if number in (1, 2) else "train", image, mask))
    with open(folder / "clinic.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return folder


def test_another_collection_is_organized_with_its_own_test_set(clinic: Path, workspace: Workspace) -> None:
    finish(find_or_create_job(workspace, "organize-clinic", {"folder": str(clinic), "split": "official"}))
    dataset = Dataset.open(workspace.dataset_folder("clinic"))
    assert sorted(dataset.select_images("test")["patient_id"]) == ["P_00001", "P_00002"]
    assert list(dataset.manifest.query("patient_id == 'P_00003'")["label"]) == ["malignant"]
    assert len(dataset.manifest) == 9, "an image without a file is left out"
    audit = (dataset.folder / "audit.md").read_text()
    assert "P_00010_LEFT_CC" in audit
    assert "women" not in audit, "the audit calls the patients patients"
    row = dataset.manifest.iloc[0]
    assert (read_pixels(dataset.path(row["file"])) == read_pixels(clinic / row["sop_uid"])).all()
    assert set(np.unique(read_pixels(dataset.path(row["mask"])))) == {0, 5}  # a malignant mass


def test_a_table_without_rows_is_refused(clinic: Path) -> None:
    (clinic / "clinic.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(DataError, match="lists no lesion"):
        read_catalog(clinic)
